/* {{name}}: a distance between preference distributions, for txray. */
#include "options.h"

#include <math.h>

/* The Jensen-Shannon distance: the root of the mean Kullback-Leibler divergence of both sides from their middle. */
typedef struct metric { double base; } metric;

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    number_option base = {"base", 2.0};
    txray_status status = read_numbers(host, options, &base, 1);
    (void)kind; /* there is only one here */
    if (status != TXRAY_OK) return status;
    if (!(base.value >= 2.0)) return txray_fail(host, TXRAY_INVALID, "/base", "must be at least 2");
    metric *made = malloc(sizeof *made);
    if (!made) return txray_fail(host, TXRAY_FAILED, "", "out of memory");
    made->base = base.value;
    *out = made;
    return TXRAY_OK;
}

static void destroy(void *component) { free(component); }

static double part(double p, double q) { return p > 0 ? p * log(2 * p / (p + q)) : 0; }

/* May be called from many threads at once. */
static txray_status distances(const void *component, const txray_host *host, const txray_metric_batch *batch,
                              txray_f64_slice_mut out) {
    const metric *of = component;
    (void)host;
    for (size_t row = 0; row < out.len; row++) {
        double nats = 0;
        for (uint64_t i = batch->offsets.ptr[row]; i < batch->offsets.ptr[row + 1]; i++) {
            nats += part(batch->p.ptr[i], batch->q.ptr[i]) + part(batch->q.ptr[i], batch->p.ptr[i]);
        }
        double divergence = nats / 2 / log(of->base);
        /* Rounding may leave a tiny negative sum where both sides are the same, or one a little above 1. */
        out.ptr[row] = sqrt(divergence < 0 ? 0 : divergence > 1 ? 1 : divergence);
    }
    return TXRAY_OK;
}

static const txray_metric_table table = {sizeof(txray_metric_table), create, destroy, distances};

static const void *query(txray_str interface_name) {
    return txray_equals(interface_name, TXRAY_METRIC) ? &table : NULL;
}

/* Claims are tested by `txray plugin check`. */
static const txray_plugin plugin = {
    TXRAY_MAGIC, TXRAY_ABI_MAJOR, TXRAY_ABI_MINOR, sizeof(txray_plugin),
    TXRAY_TEXT("{\"name\": \"{{name}}\", \"version\": \"0.1.0\", \"components\": [{"
               "\"interface\": \"txray.metric/1\", \"kind\": \"{{name}}\","
               "\"about\": \"Jensen-Shannon distance, in [0, 1]\","
               "\"claims\": [\"symmetric\", \"identity\", \"bounded\", \"triangle\"],"
               "\"options\": {\"type\": \"object\", \"properties\": {\"base\": {\"type\": \"number\","
               "\"minimum\": 2, \"default\": 2.0,"
               "\"description\": \"Base of the logarithm; with 2, disjoint distributions are at distance 1.\"}}}}]}"),
    query,
};

const txray_plugin *txray_plugin_v1(void) { return &plugin; }
