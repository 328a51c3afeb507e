/* A metric (the sum of |p - q|) and a source (one token, with moments) that are built with the header of version 1.0
 * (TXRAY_ABI_MINOR is 0), with today's, and with one of years to come (FUTURE), whose structs have grown. */

#include <stddef.h>
#include "txray.h"

/* A struct as it is known here: in years to come, with more behind it. */
#ifdef FUTURE
#define KNOWN(name) typedef struct known_##name { name known; const void *more[3]; } known_##name;
#define OF(value) ((value).known)
#define NOTHING , {&none, &none, &none}
static const int none;
#else
#define KNOWN(name) typedef struct known_##name { name known; } known_##name;
#define OF(value) ((value).known)
#define NOTHING
#endif
KNOWN(txray_metric_table)
KNOWN(txray_source_table)
KNOWN(txray_plugin)
KNOWN(txray_activation_batch)

static int made;

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)host, (void)kind, (void)options;
#ifdef FUTURE
    /* What this host knows of the struct ends before what was added to it. */
    if (host->size >= sizeof(txray_host) + sizeof(void *)) return txray_fail(host, TXRAY_FAILED, "", "a host of years to come?");
#endif
    *out = &made;
    return TXRAY_OK;
}

static void destroy(void *component) { (void)component; }

static txray_status distances(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                              txray_f64_slice_mut out) {
    (void)metric;
#ifdef FUTURE
    if (batch->size >= sizeof(txray_metric_batch) + sizeof(void *)) return txray_fail(host, TXRAY_FAILED, "", "more of a batch");
#else
    (void)host;
#endif
    for (size_t row = 0; row < out.len; row++) {
        out.ptr[row] = 0;
        for (uint64_t i = batch->offsets.ptr[row]; i < batch->offsets.ptr[row + 1]; i++) {
            double difference = batch->p.ptr[i] - batch->q.ptr[i];
            out.ptr[row] += difference < 0 ? -difference : difference;
        }
    }
    return TXRAY_OK;
}

static txray_status describe(const void *source, const txray_host *host, void (*emit)(void *context, txray_str json),
                             void *context) {
    (void)source, (void)host;
    emit(context, txray_text_of("{\"sites\": [{\"name\": \"h\", \"width\": 2}], \"layers\": []}"));
    return TXRAY_OK;
}

static txray_status next(void *source, const txray_host *host,
                         void (*emit)(void *context, const txray_activation_batch *batch), void *context) {
    (void)source, (void)host;
    static const uint64_t document = 7, offsets[] = {0, 1};
    static const uint32_t none_at = TXRAY_NULL, first = 0, second = 1;
    static const float activation = 0.5f;
    static const double sums[] = {-0.25, 0.5}, sizes[] = {0.25, 0.5};
    static const txray_moments moments = {{sums, 2}, {sizes, 2}, {sizes, 2}};
    static known_txray_activation_batch batch;
    txray_activation_batch *of = &OF(batch);
    of->size = sizeof batch;
    of->documents.ptr = &document, of->documents.len = 1;
    of->offsets.ptr = offsets, of->offsets.len = 2;
    of->starts.ptr = of->ends.ptr = &none_at, of->starts.len = of->ends.len = 1;
    of->token.ptr = of->site.ptr = &first, of->neuron.ptr = &second, of->activation.ptr = &activation;
    of->token.len = of->site.len = of->neuron.len = of->activation.len = 1;
    of->moments.ptr = &moments, of->moments.len = 1;
    emit(context, of);
    return TXRAY_OK;
}

static const void *query(txray_str interface_name) {
    static const known_txray_metric_table metric = {{sizeof metric, create, destroy, distances} NOTHING};
    static const known_txray_source_table source = {{sizeof source, create, destroy, describe, next} NOTHING};
    if (txray_equals(interface_name, TXRAY_METRIC)) return &metric;
    return txray_equals(interface_name, TXRAY_SOURCE) ? &source : NULL;
}

const txray_plugin *txray_plugin_v1(void) {
    static const known_txray_plugin plugin = {
        {
            TXRAY_MAGIC,
            TXRAY_ABI_MAJOR,
            TXRAY_ABI_MINOR,
            sizeof plugin,
            TXRAY_TEXT("{\"name\": \"versions\", \"version\": \"1\", \"components\": ["
                       "{\"interface\": \"txray.metric/1\", \"kind\": \"old-l1\"},"
                       "{\"interface\": \"txray.source/1\", \"kind\": \"old-source\"}], \"of_years_to_come\": 1}"),
            query,
        } NOTHING};
    return &plugin.known;
}
