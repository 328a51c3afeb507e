/* A model with a state and sessions on the heap, that counts them: it may not be ended before they are. Neuron n at a token has
 * ((id + n) mod 5 - 2) / 4, and a sixteenth of the last of these more; the next token is predicted by its distance from
 * neuron 0. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "txray.h"

#define WIDTH 4

typedef struct model { uint64_t vocabulary, seed, alive; } model;
typedef struct state { model *of; float last; int has_read; } state;
typedef struct session { model *of; uint64_t epoch, tokens, hash; } session;

static txray_status wrong(const txray_host *host, const char *why) { return txray_fail(host, TXRAY_INVALID, "", why); }

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)kind;
    if (options.len > 2) return txray_fail(host, TXRAY_INVALID, "/no-such-option", "there are no options");
    *out = calloc(1, sizeof(model));
    return *out ? TXRAY_OK : wrong(host, "out of memory");
}

static void destroy(void *component) {
    /* A state or a session would be left without its model. */
    if (((model *)component)->alive) abort();
    free(component);
}

static txray_status initialize(void *component, const txray_host *host, uint64_t vocabulary, uint64_t seed) {
    model *of = component;
    (void)host;
    of->vocabulary = vocabulary, of->seed = seed;
    return TXRAY_OK;
}

static FILE *file_in(txray_str directory, const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%.*s/%s", (int)directory.len, directory.ptr, name);
    return fopen(path, mode);
}

static txray_status save(const void *component, const txray_host *host, txray_str directory) {
    const model *of = component;
    FILE *file = file_in(directory, "config.json", "w");
    if (!file) return wrong(host, "config.json cannot be written");
    fprintf(file, "{\"model_type\": \"remembers\", \"vocab_size\": %llu, \"seed\": %llu}\n", (unsigned long long)of->vocabulary,
            (unsigned long long)of->seed);
    fclose(file);
    return TXRAY_OK;
}

static txray_status load(void *component, const txray_host *host, txray_str directory) {
    model *of = component;
    unsigned long long vocabulary, seed;
    char end = 0;
    FILE *file = file_in(directory, "config.json", "r");
    if (!file) return wrong(host, "config.json cannot be read");
    int read = fscanf(file, "{\"model_type\": \"remembers\", \"vocab_size\": %llu, \"seed\": %llu%c", &vocabulary, &seed, &end);
    fclose(file);
    if (read != 3 || end != '}') return wrong(host, "config.json is not one that this plugin wrote");
    of->vocabulary = vocabulary, of->seed = seed;
    return TXRAY_OK;
}

static txray_status capabilities(const void *component, const txray_host *host, void (*emit)(void *, txray_str), void *context) {
    (void)component, (void)host;
    emit(context, txray_text_of("{\"tasks\": [\"language-model\"], \"rules\": [\"top\", \"above\", \"all\", \"of years to come\"], "
                                "\"masks\": true, \"predictions\": true}"));
    return TXRAY_OK;
}

static txray_status describe(const void *component, const txray_host *host, void (*emit)(void *, txray_str), void *context) {
    const model *of = component;
    char json[512];
    if (!of->vocabulary) return wrong(host, "it has no weights yet");
    snprintf(json, sizeof json, "{\"sites\": [{\"name\": \"h\", \"width\": %d}], \"vocabulary\": %llu, \"parameters\": 1, "
             "\"heads\": [{\"task\": \"language-model\", \"classes\": %llu}], \"trained_state\": \"carry\"}", WIDTH,
             (unsigned long long)of->vocabulary, (unsigned long long)of->vocabulary);
    emit(context, txray_text_of(json));
    return TXRAY_OK;
}

/* One step: h of a token, under masks, and what is remembered of it. */
static void activate(state *in, uint32_t id, txray_mask_slice masks, float *h) {
    for (size_t n = 0; n < WIDTH; n++) {
        h[n] = ((float)((id + n + in->of->seed) % 5) - 2) / 4 + in->last / 16;
        if (masks.len && !isnan(masks.ptr[0].values.ptr[n])) h[n] = masks.ptr[0].values.ptr[n];
    }
    in->last = h[0], in->has_read = 1;
}

/* The loss of a token, and the one with the least of it. */
static double loss(const state *in, uint32_t id) {
    double distance = (double)id - 4 * fabs((double)in->last);
    return distance * distance / 8;
}

static uint32_t best(const state *in) {
    uint32_t least = 0;
    for (uint32_t id = 1; id < in->of->vocabulary; id++) least = loss(in, id) < loss(in, least) ? id : least;
    return least;
}

static txray_status encode(const void *component, const txray_host *host, const txray_encode_request *request) {
    state own = {(model *)component, 0, 0}, *in = request->state ? request->state : &own;
    float h[WIDTH];
    (void)host;
    for (size_t d = 0; d + 1 < request->text.offsets.len; d++) {
        if (!request->state) in->last = 0;
        for (uint64_t t = request->text.offsets.ptr[d]; t < request->text.offsets.ptr[d + 1]; t++) {
            activate(in, request->text.ids.ptr[t], request->masks, h);
            for (size_t s = 0; s < request->sites.len; s++) txray_record(request, s, t, h, WIDTH);
            if (request->predictions.len) request->predictions.ptr[t] = best(in);
        }
    }
    return TXRAY_OK;
}

static txray_status predict(const void *component, const txray_host *host, const txray_predict_request *request) {
    state own = {(model *)component, 0, 0}, *in = request->state ? request->state : &own;
    const txray_text *text = &request->examples.text;
    float h[WIDTH];
    (void)host;
    for (size_t d = 0; d + 1 < text->offsets.len; d++) {
        if (!request->state) in->last = 0, in->has_read = 0;
        request->losses.ptr[d] = 0, request->counts.ptr[d] = 0;
        for (uint64_t t = text->offsets.ptr[d]; t < text->offsets.ptr[d + 1]; t++) {
            float told = NAN;
            if (in->has_read) {
                told = (float)loss(in, text->ids.ptr[t]);
                request->losses.ptr[d] += loss(in, text->ids.ptr[t]), request->counts.ptr[d]++;
            }
            if (request->token_losses.len) request->token_losses.ptr[t] = told;
            activate(in, text->ids.ptr[t], request->masks, h);
        }
    }
    return TXRAY_OK;
}

static txray_status make(const void *component, const txray_host *host, const void *from, void **out) {
    model *of = (model *)component;
    state *made = malloc(sizeof *made);
    if (!made) return wrong(host, "out of memory");
    if (from) *made = *(const state *)from;
    else made->of = of, made->last = 0, made->has_read = 0;
    if (made->of != of) abort();
    of->alive++;
    *out = made;
    return TXRAY_OK;
}

static void end_state(void *component) {
    ((state *)component)->of->alive--;
    free(component);
}

static uint64_t hash(const txray_text *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t t = 0; t < text->ids.len; t++) hash = (hash ^ text->ids.ptr[t]) * UINT64_C(0x100000001b3);
    return hash;
}

static txray_status begin(void *component, const txray_host *host, const txray_train_request *request, txray_str from, void **out) {
    model *of = component;
    session in = {of, 0, 0, hash(&request->train.text)};
    uint64_t vocabulary = of->vocabulary, seed = of->seed;
    if (from.len) {
        unsigned long long numbers[5];
        FILE *file = file_in(from, "session", "r");
        int read = file ? fscanf(file, "%llu %llu %llu %llu %llu", numbers, numbers + 1, numbers + 2, numbers + 3, numbers + 4) : 0;
        if (file) fclose(file);
        if (read != 5 || numbers[4] != in.hash) return wrong(host, "there is no such training");
        vocabulary = numbers[0], seed = numbers[1], in.epoch = numbers[2], in.tokens = numbers[3];
    }
    for (size_t t = 0; t < request->valid.text.ids.len; t++) {
        if (request->valid.text.ids.ptr[t] >= vocabulary) return wrong(host, "the text is of another vocabulary");
    }
    of->vocabulary = vocabulary, of->seed = seed;
    session *made = malloc(sizeof *made);
    if (!made) return wrong(host, "out of memory");
    *made = in;
    of->alive++;
    *out = made;
    return TXRAY_OK;
}

/* An epoch is a step. */
static txray_status step(void *component, void *training, const txray_host *host, double pause, txray_train_report *out) {
    session *in = training;
    (void)pause;
    if (in->of != component) abort();
    if (host->cancelled(host->context) && in->epoch % 2 == 0) return txray_fail(host, TXRAY_CANCELLED, "", "cancelled");
    in->epoch++, in->tokens += 2000;
    out->epoch = in->epoch, out->tokens = in->tokens, out->loss = 1.0 / (double)in->epoch, out->valid_loss = out->loss;
    out->seconds = 0.125, out->done = in->epoch >= 3, out->paused = 0;
    return TXRAY_OK;
}

static txray_status save_session(const void *component, const void *training, const txray_host *host, txray_str directory) {
    const model *of = component;
    const session *in = training;
    FILE *file = file_in(directory, "session", "w");
    if (!file) return wrong(host, "the training cannot be written");
    fprintf(file, "%llu %llu %llu %llu %llu\n", (unsigned long long)of->vocabulary, (unsigned long long)of->seed,
            (unsigned long long)in->epoch, (unsigned long long)in->tokens, (unsigned long long)in->hash);
    fclose(file);
    return TXRAY_OK;
}

static void end_session(void *component) {
    ((session *)component)->of->alive--;
    free(component);
}

static const void *ability(const void *component, txray_str name) {
    static const txray_encode_table encodes = {sizeof encodes, encode};
    static const txray_predict_table predicts = {sizeof predicts, predict};
    static const txray_train_table trains = {sizeof trains, begin, step, save_session, end_session};
    static const txray_carry_table carries = {sizeof carries, make, end_state};
    (void)component;
    if (txray_equals(name, TXRAY_ENCODE)) return &encodes;
    if (txray_equals(name, TXRAY_PREDICT)) return &predicts;
    if (txray_equals(name, TXRAY_TRAIN)) return &trains;
    return txray_equals(name, TXRAY_CARRY) ? &carries : NULL;
}

static const void *query(txray_str interface_name) {
    static const txray_model_table model = {sizeof model, create, destroy, TXRAY_MODEL_REVISION, ability, capabilities,
                                            describe, initialize, load, save};
    return txray_equals(interface_name, TXRAY_MODEL) ? &model : NULL;
}

const txray_plugin *txray_plugin_v1(void) {
    static const txray_plugin plugin = {
        TXRAY_MAGIC, TXRAY_ABI_MAJOR, TXRAY_ABI_MINOR, sizeof plugin,
        TXRAY_TEXT("{\"name\": \"remembers\", \"version\": \"1\", \"components\": [{"
                   "\"interface\": \"txray.model/0\", \"kind\": \"remembers\", \"about\": \"a model in C with all abilities\", "
                   "\"options\": {\"type\": \"object\", \"properties\": {}}}]}"),
        query,
    };
    return &plugin;
}
