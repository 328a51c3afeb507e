/* A metric in C: total variation, half the sum of |p - q|. The option `scale` replaces the half. */

#include <stdio.h>
#include <stdlib.h>

#include "txray.h"

typedef struct total_variation { double scale; } total_variation;

/* A real plugin would use a JSON library; this reads `{}` and `{"scale": number}` alone. */
static int read_scale(txray_str options, double *scale) {
    char text[64], rest;
    if (options.len >= sizeof text) return 0;
    memcpy(text, options.ptr, options.len);
    text[options.len] = '\0';
    if (strcmp(text, "{}") == 0) return 1;
    return sscanf(text, " { \"scale\" : %lf } %c", scale, &rest) == 1 && *scale > 0;
}

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    if (!txray_equals(kind, "total-variation")) return txray_fail(host, TXRAY_FAILED, "", "there is no such metric");
    double scale = 0.5;
    if (!read_scale(options, &scale)) {
        int named = options.len > 8 && memcmp(options.ptr, "{\"scale\"", 8) == 0;
        if (!named) return txray_fail(host, TXRAY_INVALID, "", "takes `scale` alone");
        return txray_fail(host, TXRAY_INVALID, "/scale", "must be a number above 0");
    }
    total_variation *metric = malloc(sizeof *metric);
    if (metric == NULL) return txray_fail(host, TXRAY_FAILED, "", "out of memory");
    metric->scale = scale;
    *out = metric;
    return TXRAY_OK;
}

static void destroy(void *component) { free(component); }

static txray_status distances(const void *component, const txray_host *host, const txray_metric_batch *batch,
                              txray_f64_slice_mut out) {
    const total_variation *metric = component;
    (void)host;
    for (size_t row = 0; row < out.len; row++) {
        double sum = 0;
        for (uint64_t i = batch->offsets.ptr[row]; i < batch->offsets.ptr[row + 1]; i++) {
            double difference = batch->p.ptr[i] - batch->q.ptr[i];
            sum += difference < 0 ? -difference : difference;
        }
        out.ptr[row] = metric->scale * sum;
    }
    return TXRAY_OK;
}

static const void *query(txray_str interface_name) {
    static const txray_metric_table metric = {sizeof metric, create, destroy, distances};
    return txray_equals(interface_name, TXRAY_METRIC) ? &metric : NULL;
}

const txray_plugin *txray_plugin_v1(void) {
    static const txray_plugin plugin = {
        TXRAY_MAGIC,
        TXRAY_ABI_MAJOR,
        TXRAY_ABI_MINOR,
        sizeof plugin,
        TXRAY_TEXT("{\"name\": \"total-variation\", \"version\": \"1.2.3\", \"components\": [{"
                   "\"interface\": \"txray.metric/1\", \"kind\": \"total-variation\","
                   "\"about\": \"half the L1 distance\","
                   "\"options\": {\"type\": \"object\", \"properties\": {\"scale\": {\"type\": \"number\"}}},"
                   "\"claims\": [\"symmetric\", \"identity\", \"bounded\", \"triangle\"]}]}"),
        query,
    };
    return &plugin;
}
