/* A metric `plain` without options that gives every row the distance 0.25. Files beside this one break it, one rule each: they
 * define one of the macros below, then include it. */

#include "txray.h"

#ifndef MAGIC
#define MAGIC TXRAY_MAGIC
#endif
#ifndef MAJOR
#define MAJOR TXRAY_ABI_MAJOR
#endif
#ifndef PLUGIN_SIZE
#define PLUGIN_SIZE sizeof(txray_plugin)
#endif
#ifndef INFO
#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\"}]}")
#endif
#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(txray_metric_table)
#endif
#ifndef CREATE
#define CREATE create
#endif
#ifndef DESTROY
#define DESTROY destroy
#endif
#ifndef DISTANCES
#define DISTANCES distances
#endif
#ifndef QUERY
#define QUERY query
#endif
#ifndef ENTRY_GIVES
#define ENTRY_GIVES &plugin
#endif

static inline txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    static int component;
    (void)kind;
    if (options.len != 2) return txray_fail(host, TXRAY_INVALID, "", "it has no options, but was not given {}");
    *out = &component;
    return TXRAY_OK;
}

static inline void destroy(void *metric) { (void)metric; }

static inline txray_status distances(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                                     txray_f64_slice_mut out) {
    (void)metric, (void)host, (void)batch;
    for (size_t row = 0; row < out.len; row++) out.ptr[row] = 0.25;
    return TXRAY_OK;
}

static inline const void *query(txray_str interface_name) {
    static const txray_metric_table metric = {TABLE_SIZE, CREATE, DESTROY, DISTANCES};
    return txray_equals(interface_name, TXRAY_METRIC) ? &metric : NULL;
}

const txray_plugin *txray_plugin_v1(void) {
    static const txray_plugin plugin = {MAGIC, MAJOR, TXRAY_ABI_MINOR, PLUGIN_SIZE, INFO, QUERY};
    (void)plugin;
    return ENTRY_GIVES;
}
