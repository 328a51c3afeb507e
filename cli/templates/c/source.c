/* {{name}}: a source of activations, for txray: here it draws them, so that there is something to read. Put what you have
 * recorded in their place. */
#include "options.h"

enum { WIDTH = 8, LENGTH = 12 };

static const char words[] = "thecatsatonamat";
static const uint64_t cuts[] = {0, 3, 6, 9, 11, 12, 15};

typedef struct source { uint64_t next, documents; } source;

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    number_option documents = {"documents", 100.0};
    txray_status status = read_numbers(host, options, &documents, 1);
    (void)kind; /* there is only one here */
    if (status != TXRAY_OK) return status;
    if (!(documents.value >= 1 && documents.value <= 1e9)) {
        return txray_fail(host, TXRAY_INVALID, "/documents", "must be from 1 to 1e9");
    }
    source *made = malloc(sizeof *made);
    if (!made) return txray_fail(host, TXRAY_FAILED, "", "out of memory");
    made->next = 0;
    made->documents = (uint64_t)documents.value;
    *out = made;
    return TXRAY_OK;
}

static void destroy(void *component) { free(component); }

static txray_status describe(const void *component, const txray_host *host,
                             void (*emit)(void *context, txray_str json), void *context) {
    (void)component, (void)host;
    emit(context, txray_text_of("{\"sites\": [{\"name\": \"drawn\", \"width\": 8}], \"layers\": [\"token\"]}"));
    return TXRAY_OK;
}

/* One document a call: at each token the one most active neuron. What `emit` is given is borrowed until it returns. */
static txray_status next(void *component, const txray_host *host,
                         void (*emit)(void *context, const txray_activation_batch *batch), void *context) {
    source *of = component;
    (void)host;
    if (of->next == of->documents) return TXRAY_OK; /* the end: `emit` is not called */
    uint64_t document = of->next++;
    uint64_t offsets[2] = {0, LENGTH};
    uint32_t none[LENGTH], token[LENGTH], site[LENGTH], neuron[LENGTH], features[LENGTH];
    float activation[LENGTH];
    for (uint32_t i = 0; i < LENGTH; i++) {
        uint64_t drawn = (document * LENGTH + i) * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        none[i] = TXRAY_NULL; /* where the token stood in its text is not known */
        token[i] = i;
        site[i] = 0;
        features[i] = (uint32_t)(drawn >> 33) % 6;
        neuron[i] = (features[i] + (uint32_t)(drawn >> 60)) % WIDTH;
        activation[i] = 0.25f + (float)(drawn >> 40) * 0x1p-25f;
    }
    txray_layer_column layer = {
        TXRAY_TEXT("token"), {features, LENGTH}, {{words, sizeof words - 1}, {cuts, sizeof cuts / sizeof *cuts}}, 0,
    };
    txray_activation_batch batch = {0};
    batch.size = sizeof batch;
    batch.documents = (txray_u64_slice){&document, 1};
    batch.offsets = (txray_u64_slice){offsets, 2};
    batch.starts = (txray_u32_slice){none, LENGTH};
    batch.ends = (txray_u32_slice){none, LENGTH};
    batch.layers = (txray_layer_column_slice){&layer, 1};
    batch.token = (txray_u32_slice){token, LENGTH};
    batch.site = (txray_u32_slice){site, LENGTH};
    batch.neuron = (txray_u32_slice){neuron, LENGTH};
    batch.activation = (txray_f32_slice){activation, LENGTH};
    emit(context, &batch);
    return TXRAY_OK;
}

static const txray_source_table table = {sizeof(txray_source_table), create, destroy, describe, next};

static const void *query(txray_str interface_name) {
    return txray_equals(interface_name, TXRAY_SOURCE) ? &table : NULL;
}

static const txray_plugin plugin = {
    TXRAY_MAGIC, TXRAY_ABI_MAJOR, TXRAY_ABI_MINOR, sizeof(txray_plugin),
    TXRAY_TEXT("{\"name\": \"{{name}}\", \"version\": \"0.1.0\", \"components\": [{"
               "\"interface\": \"txray.source/1\", \"kind\": \"{{name}}\","
               "\"about\": \"activations that are drawn at random\","
               "\"options\": {\"type\": \"object\", \"properties\": {\"documents\": {\"type\": \"number\","
               "\"minimum\": 1, \"default\": 100.0, \"description\": \"How many documents it has.\"}}}}]}"),
    query,
};

const txray_plugin *txray_plugin_v1(void) { return &plugin; }
