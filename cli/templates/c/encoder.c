/* {{name}}: a model that is read and not trained, for txray, as small as one can be: its neurons are the values of a token's
 * embedding, `encoder.weight` of a checkpoint, h = E[token]. So it reads what the embeddings of a language model alone know;
 * put the network you want to look into in its place.
 *
 * txray.model/0 is unstable: a later txray may ask for another table. */
#include "options.h"

#include <math.h>
#include <stdio.h>

/* Values of an embedding that is drawn; one that is loaded has its own. */
#define WIDTH 16

/* E is [vocabulary, width]. */
typedef struct model {
    uint64_t vocabulary, width;
    float *embedding;
} model;

static size_t values(const model *of) { return of->vocabulary * of->width; }

static txray_status failed(const txray_host *host, const char *why) { return txray_fail(host, TXRAY_FAILED, "", why); }
static txray_status invalid(const txray_host *host, const char *why) { return txray_fail(host, TXRAY_INVALID, "", why); }

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    txray_status status = read_numbers(host, options, NULL, 0);
    (void)kind; /* there is only one here */
    if (status != TXRAY_OK) return status;
    *out = calloc(1, sizeof(model));
    return *out ? TXRAY_OK : failed(host, "out of memory");
}

static void destroy(void *component) {
    free(((model *)component)->embedding);
    free(component);
}

/* Room for an embedding of this size, in place of the one that was there. */
static txray_status resize(model *of, const txray_host *host, uint64_t vocabulary, uint64_t width) {
    free(of->embedding);
    of->vocabulary = vocabulary, of->width = width;
    of->embedding = malloc((values(of) + 1) * sizeof(float));
    return of->embedding ? TXRAY_OK : failed(host, "out of memory");
}

static txray_status initialize(void *component, const txray_host *host, uint64_t vocabulary, uint64_t seed) {
    model *of = component;
    txray_status status = resize(of, host, vocabulary, WIDTH);
    if (status != TXRAY_OK) return status;
    for (size_t i = 0; i < values(of); i++) {
        /* SplitMix64: a number depends on the seed and its place alone. */
        uint64_t z = (seed + 1) * UINT64_C(0xbf58476d1ce4e5b9) + i * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        of->embedding[i] = (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1;
    }
    return TXRAY_OK;
}

/* ---- Files: safetensors is a length, a header in JSON, and the values, little-endian -------------------------- */

static FILE *open_in(txray_str directory, const char *name, const char *mode) {
    char *path = malloc(directory.len + strlen(name) + 2);
    if (!path) return NULL;
    sprintf(path, "%.*s/%s", (int)directory.len, directory.ptr, name);
    FILE *file = fopen(path, mode);
    free(path);
    return file;
}

/* Whether all that was written is in the file. */
static int closed(FILE *file) {
    int failed = ferror(file);
    return fclose(file) == 0 && !failed;
}

/* Reads of a header where the embedding lies in the file; 0 where it is not there, or is not of two sizes that fit. */
static int find(const char *header, unsigned long long *vocabulary, unsigned long long *width, unsigned long long *begin) {
    unsigned long long to;
    const char *at = strstr(header, "\"encoder.weight\":{"), *end = at ? strchr(at, '}') : NULL;
    if (!end) return 0;
    const char *shape = strstr(at, "\"shape\":"), *offsets = strstr(at, "\"data_offsets\":"), *type = strstr(at, "\"F32\"");
    return shape && offsets && type && shape < end && offsets < end && type < end &&
           sscanf(shape, "\"shape\":[%llu,%llu]", vocabulary, width) == 2 &&
           sscanf(offsets, "\"data_offsets\":[%llu,%llu]", begin, &to) == 2 && *vocabulary >= 1 && *vocabulary < UINT32_MAX &&
           *width >= 1 && *width <= 65536 && *begin < (1u << 30) && to == *begin + 4 * *vocabulary * *width;
}

static txray_status load(void *component, const txray_host *host, txray_str directory) {
    model *of = component;
    unsigned long long vocabulary, width, begin;
    uint64_t length = 0;
    FILE *file = open_in(directory, "model.safetensors", "rb");
    if (!file) return invalid(host, "model.safetensors cannot be read");
    int whole = fread(&length, sizeof length, 1, file) == 1 && length <= 1 << 24;
    char *header = whole ? calloc(1, length + 1) : NULL;
    whole = header && fread(header, 1, length, file) == length && find(header, &vocabulary, &width, &begin) &&
            fseek(file, (long)(sizeof length + length + begin), SEEK_SET) == 0;
    txray_status status = TXRAY_OK;
    if (!whole) status = invalid(host, "model.safetensors has no `encoder.weight` of F32 values in two dimensions");
    if (status == TXRAY_OK) status = resize(of, host, vocabulary, width);
    if (status == TXRAY_OK) {
        whole = fread(of->embedding, sizeof(float), values(of), file) == values(of);
        for (size_t i = 0; whole && i < values(of); i++) whole = isfinite(of->embedding[i]);
        if (!whole) {
            status = invalid(host, "model.safetensors is damaged");
            free(of->embedding), of->embedding = NULL;
        }
    }
    free(header);
    fclose(file);
    return status;
}

static txray_status save(const void *component, const txray_host *host, txray_str directory) {
    const model *of = component;
    char header[256];
    if (!of->embedding) return failed(host, "the model has no weights yet");
    int length = snprintf(header, sizeof header,
                          "{\"encoder.weight\":{\"dtype\":\"F32\",\"shape\":[%llu,%llu],\"data_offsets\":[0,%llu]}}",
                          (unsigned long long)of->vocabulary, (unsigned long long)of->width, 4ull * values(of));
    while (length % 8) header[length++] = ' ';
    uint64_t told = (uint64_t)length;
    /* By its `model_type` a pipeline with `path = "..."` finds the plugin that reads the directory. */
    FILE *config = open_in(directory, "config.json", "w"), *file = open_in(directory, "model.safetensors", "wb");
    int good = config && file;
    if (good) {
        fprintf(config, "{\"model_type\": \"{{name}}\"}\n");
        fwrite(&told, sizeof told, 1, file);
        fwrite(header, 1, told, file);
        fwrite(of->embedding, sizeof(float), values(of), file);
    }
    good &= config && closed(config);
    good &= file && closed(file);
    return good ? TXRAY_OK : failed(host, "the weights cannot be written");
}

/* ---- Reading ------------------------------------------------------------------------------------------------- */

static txray_status capabilities(const void *component, const txray_host *host,
                                 void (*emit)(void *context, txray_str json), void *context) {
    char json[256];
    (void)component, (void)host;
    snprintf(json, sizeof json, "{\"rules\": [\"top\", \"above\", \"all\"], \"sites\": [{\"name\": \"embedding\", \"width\": %d}]}",
             WIDTH);
    emit(context, txray_text_of(json));
    return TXRAY_OK;
}

static txray_status describe(const void *component, const txray_host *host,
                             void (*emit)(void *context, txray_str json), void *context) {
    const model *of = component;
    char json[256];
    if (!of->embedding) return failed(host, "the model has no weights yet");
    snprintf(json, sizeof json, "{\"sites\": [{\"name\": \"embedding\", \"width\": %llu}], \"vocabulary\": %llu, \"parameters\": %llu}",
             (unsigned long long)of->width, (unsigned long long)of->vocabulary, (unsigned long long)values(of));
    emit(context, txray_text_of(json));
    return TXRAY_OK;
}

static txray_status encode(const void *component, const txray_host *host, const txray_encode_request *request) {
    const model *of = component;
    if (!of->embedding) return failed(host, "the model has no weights yet");
    for (size_t t = 0; t < request->text.ids.len; t++) {
        const float *h = of->embedding + request->text.ids.ptr[t] * of->width;
        for (size_t s = 0; s < request->sites.len; s++) txray_record(request, s, t, h, of->width);
        if (t % 4096 == 0 && host->cancelled(host->context)) return txray_fail(host, TXRAY_CANCELLED, "", "cancelled");
    }
    return TXRAY_OK;
}

static const void *ability(const void *component, txray_str name) {
    static const txray_encode_table encodes = {sizeof encodes, encode};
    (void)component;
    return txray_equals(name, TXRAY_ENCODE) ? &encodes : NULL;
}

static const txray_model_table table = {
    sizeof(txray_model_table), create, destroy, TXRAY_MODEL_REVISION, ability, capabilities, describe, initialize, load, save,
};

static const void *query(txray_str interface_name) {
    return txray_equals(interface_name, TXRAY_MODEL) ? &table : NULL;
}

static const txray_plugin plugin = {
    TXRAY_MAGIC, TXRAY_ABI_MAJOR, TXRAY_ABI_MINOR, sizeof(txray_plugin),
    TXRAY_TEXT("{\"name\": \"{{name}}\", \"version\": \"0.1.0\", \"components\": [{"
               "\"interface\": \"txray.model/0\", \"kind\": \"{{name}}\","
               "\"about\": \"the embeddings of a language model\", \"devices\": [\"cpu\"],"
               "\"options\": {\"type\": \"object\", \"properties\": {}}}]}"),
    query,
};

const txray_plugin *txray_plugin_v1(void) { return &plugin; }
