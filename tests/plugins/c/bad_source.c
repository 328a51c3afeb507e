/* A source whose batches break a rule: the option `fault` names which. */

#include "txray.h"

static char fault;

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)host, (void)kind;
    *out = &fault;
    /* The options are {"fault": "x"}: x is what is kept. */
    fault = options.ptr[options.len - 3];
    return TXRAY_OK;
}

static void destroy(void *component) { (void)component; }

static txray_status describe(const void *source, const txray_host *host, void (*emit)(void *context, txray_str json),
                             void *context) {
    (void)source, (void)host;
    txray_str json = txray_text_of("{\"sites\": [{\"name\": \"h\", \"width\": 3}], \"layers\": []}");
    if (fault == 'd') json = txray_text_of("{\"sites\": 1}");
    if (fault == 'u') json = txray_text_of("\xff");
    if (fault == 'l') json.len = (size_t)1 << 62;
    if (fault == 'p') json.ptr = NULL;
    if (fault != 's') emit(context, json);
    return TXRAY_OK;
}

static txray_status next(void *source, const txray_host *host,
                         void (*emit)(void *context, const txray_activation_batch *batch), void *context) {
    (void)source, (void)host;
    txray_activation_batch batch;
    memset(&batch, 0, sizeof batch);
    static const uint64_t none[] = {0};
    batch.offsets.ptr = none;
    batch.offsets.len = 1;
    const size_t first = offsetof(txray_activation_batch, exact_moments); /* all that version 1.0 had */
    batch.size = fault == 'z' ? first - 1 : fault == 'f' ? first : sizeof batch;
    static const double sums[] = {1.0, -0.5, 0.25}, sizes[] = {1.0, 0.5, 0.25};
    static const txray_moments moments[] = {{{sums, 3}, {sizes, 3}, {sizes, 3}}};
    if (fault == 'f') {
        batch.moments.ptr = moments, batch.moments.len = 1;
        batch.exact_moments.len = SIZE_MAX; /* not there, by its size */
    }
    static const uint64_t beyond[] = {0, 9};
    if (fault == 'g') {
        batch.groups.bytes = txray_text_of("short");
        batch.groups.offsets.ptr = beyond;
        batch.groups.offsets.len = 2;
    }
    static const uint64_t some[2];
    if (fault == 'h') batch.documents.ptr = some, batch.documents.len = (size_t)1 << 62, batch.offsets.len = batch.documents.len + 1;
    if (fault == 'w') batch.documents.len = SIZE_MAX; /* and one more is none */
    if (fault == 'm') batch.starts.ptr = (const uint32_t *)((const char *)some + 1), batch.starts.len = batch.ends.len = 1;
    if (fault == 'L') {
        txray_str endless = {(const char *)some, (size_t)1 << 62};
        host->log(host->context, TXRAY_LOG_WARNING, endless);
        host->fail(host->context, endless, endless);
        return TXRAY_FAILED;
    }
    if (fault == 'n') batch.documents.len = 3, batch.offsets.len = 4; /* of which the pointer is null */
    emit(context, fault == '0' ? NULL : &batch);
    if (fault == '2') emit(context, &batch);
    return TXRAY_OK;
}

static const void *query(txray_str interface_name) {
    static const txray_source_table source = {sizeof source, create, destroy, describe, next};
    return txray_equals(interface_name, TXRAY_SOURCE) ? &source : NULL;
}

const txray_plugin *txray_plugin_v1(void) {
    static const txray_plugin plugin = {
        TXRAY_MAGIC,
        TXRAY_ABI_MAJOR,
        TXRAY_ABI_MINOR,
        sizeof plugin,
        TXRAY_TEXT("{\"name\": \"bad-source\", \"version\": \"1\", \"components\": ["
                   "{\"interface\": \"txray.source/1\", \"kind\": \"bad-source\"}]}"),
        query,
    };
    return &plugin;
}
