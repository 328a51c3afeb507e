/* {{name}}: a pruner, for txray: it scores every neuron, and those with the highest scores go first. */
#include "options.h"

#include <math.h>

/* The share of its mass that a neuron lost from one stage to the other. */
typedef struct pruner { double least; } pruner;

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    number_option least = {"least", 20.0};
    txray_status status = read_numbers(host, options, &least, 1);
    (void)kind; /* there is only one here */
    if (status != TXRAY_OK) return status;
    if (!(least.value >= 0)) return txray_fail(host, TXRAY_INVALID, "/least", "must be at least 0");
    pruner *made = malloc(sizeof *made);
    if (!made) return txray_fail(host, TXRAY_FAILED, "", "out of memory");
    made->least = least.value;
    *out = made;
    return TXRAY_OK;
}

static void destroy(void *component) { free(component); }

/* The column of that name, or NULL. */
static const double *column(const txray_columns *columns, const char *name) {
    for (size_t i = 0; i + 1 < columns->names.offsets.len; i++) {
        const uint64_t *cut = columns->names.offsets.ptr + i;
        txray_str found = {columns->names.bytes.ptr + cut[0], (size_t)(cut[1] - cut[0])};
        if (txray_equals(found, name)) return columns->values.ptr + i * columns->rows;
    }
    return NULL;
}

/* May be called from many threads at once. */
static txray_status scores(const void *component, const txray_host *host, const txray_columns *columns,
                           txray_f64_slice_mut out) {
    const pruner *of = component;
    const double *count = column(columns, "count_from");
    const double *from = column(columns, "mass_from"), *to = column(columns, "mass_to");
    if (!count || !from || !to) {
        return txray_fail(host, TXRAY_INVALID, "", "it needs the columns count_from, mass_from and mass_to");
    }
    for (size_t row = 0; row < out.len; row++) {
        /* NaN: this neuron is never pruned. */
        out.ptr[row] = count[row] >= of->least && from[row] > 0 ? 1 - to[row] / from[row] : NAN;
    }
    return TXRAY_OK;
}

static const txray_pruner_table table = {sizeof(txray_pruner_table), create, destroy, scores};

static const void *query(txray_str interface_name) {
    return txray_equals(interface_name, TXRAY_PRUNER) ? &table : NULL;
}

static const txray_plugin plugin = {
    TXRAY_MAGIC, TXRAY_ABI_MAJOR, TXRAY_ABI_MINOR, sizeof(txray_plugin),
    TXRAY_TEXT("{\"name\": \"{{name}}\", \"version\": \"0.1.0\", \"components\": [{"
               "\"interface\": \"txray.pruner/1\", \"kind\": \"{{name}}\","
               "\"about\": \"the share of its mass that a neuron lost\","
               "\"options\": {\"type\": \"object\", \"properties\": {\"least\": {\"type\": \"number\","
               "\"minimum\": 0, \"default\": 20.0,"
               "\"description\": \"Neurons with fewer observations than this in the first stage are never pruned.\"}}}}]}"),
    query,
};

const txray_plugin *txray_plugin_v1(void) { return &plugin; }
