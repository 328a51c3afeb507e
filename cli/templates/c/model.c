/* {{name}}: a language model, for txray, whole but as small as one can be: h = tanh(E[token]), and a softmax over D h + b
 * that predicts the next token. It remembers nothing; put the network you want to look into in its place.
 *
 * txray.model/0 is unstable: a later txray may ask for another table. */
#include "options.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

typedef struct model {
    /* Options. */
    uint64_t neurons, epochs;
    float rate;
    /* Weights: E and D are [vocabulary, hidden], b is [vocabulary]; one block, as in the file. */
    uint64_t vocabulary, hidden;
    float *weights;
} model;

/* A training: copies of its texts, and where it stands, between two documents. The host keeps it, and hands it to every step. */
typedef struct session {
    uint32_t *ids, *valid_ids;
    uint64_t *offsets, *valid_offsets;
    txray_text train, valid; /* the copies */
    uint64_t hash;           /* of the training text */
    uint64_t epoch, document, tokens, predicted;
    double loss;
} session;

static size_t matrix(const model *of) { return of->vocabulary * of->hidden; }
static size_t parameters(const model *of) { return 2 * matrix(of) + of->vocabulary; }

static txray_status failed(const txray_host *host, const char *why) { return txray_fail(host, TXRAY_FAILED, "", why); }
static txray_status invalid(const txray_host *host, const char *why) { return txray_fail(host, TXRAY_INVALID, "", why); }

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    number_option given[] = {{"hidden", 32}, {"train/epochs", 2}, {"train/learning_rate", 0.1}};
    txray_status status = read_numbers(host, options, given, 3);
    (void)kind; /* there is only one here */
    if (status != TXRAY_OK) return status;
    if (!(given[0].value >= 1 && given[0].value <= 65536)) {
        return txray_fail(host, TXRAY_INVALID, "/hidden", "must be from 1 to 65536");
    }
    if (!(given[1].value >= 1 && given[1].value <= 1e6)) {
        return txray_fail(host, TXRAY_INVALID, "/train/epochs", "must be from 1 to 1e6");
    }
    if (!(given[2].value > 0 && given[2].value <= 1e3)) {
        return txray_fail(host, TXRAY_INVALID, "/train/learning_rate", "must be above 0, and at most 1000");
    }
    model *made = calloc(1, sizeof *made);
    if (!made) return failed(host, "out of memory");
    made->neurons = (uint64_t)given[0].value;
    made->epochs = (uint64_t)given[1].value;
    made->rate = (float)given[2].value;
    *out = made;
    return TXRAY_OK;
}

static void destroy(void *component) {
    model *of = component;
    free(of->weights);
    free(of);
}

/* Room for weights of these sizes, in place of those that were there. */
static txray_status resize(model *of, const txray_host *host, uint64_t vocabulary, uint64_t hidden) {
    free(of->weights);
    of->vocabulary = vocabulary, of->hidden = hidden;
    of->weights = malloc((parameters(of) + 1) * sizeof(float));
    return of->weights ? TXRAY_OK : failed(host, "out of memory");
}

static txray_status initialize(void *component, const txray_host *host, uint64_t vocabulary, uint64_t seed) {
    model *of = component;
    txray_status status = resize(of, host, vocabulary, of->neurons);
    if (status != TXRAY_OK) return status;
    for (size_t i = 0; i < parameters(of); i++) {
        /* SplitMix64: a number depends on the seed and its place alone. */
        uint64_t z = (seed + 1) * UINT64_C(0xbf58476d1ce4e5b9) + i * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        float uniform = (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1;
        of->weights[i] = i < matrix(of) ? uniform / 2 : i < 2 * matrix(of) ? uniform / 10 : 0;
    }
    return TXRAY_OK;
}

/* ---- Files --------------------------------------------------------------------------------------------------- */

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

/* The header of model.safetensors. A float is 4 bytes; the three tensors follow each other. */
static int header(const model *of, char *out, size_t room) {
    unsigned long long v = of->vocabulary, h = of->hidden, m = matrix(of) * 4;
    int length = snprintf(out, room,
                          "{\"embedding\":{\"dtype\":\"F32\",\"shape\":[%llu,%llu],\"data_offsets\":[0,%llu]},"
                          "\"decoder\":{\"dtype\":\"F32\",\"shape\":[%llu,%llu],\"data_offsets\":[%llu,%llu]},"
                          "\"bias\":{\"dtype\":\"F32\",\"shape\":[%llu],\"data_offsets\":[%llu,%llu]}}",
                          v, h, m, v, h, m, 2 * m, v, 2 * m, 2 * m + 4 * v);
    while (length % 8) out[length++] = ' ';
    return length;
}

static txray_status save(const void *component, const txray_host *host, txray_str directory) {
    const model *of = component;
    char text[512];
    if (!of->weights) return failed(host, "the model has no weights yet");
    FILE *config = open_in(directory, "config.json", "w"), *file = open_in(directory, "model.safetensors", "wb");
    int good = config && file;
    if (good) {
        fprintf(config, "{\"model_type\": \"{{name}}\", \"vocab_size\": %llu, \"hidden_size\": %llu}\n",
                (unsigned long long)of->vocabulary, (unsigned long long)of->hidden);
        uint64_t length = (uint64_t)header(of, text, sizeof text);
        /* Little-endian, as every machine that this is likely to run on. */
        fwrite(&length, sizeof length, 1, file);
        fwrite(text, 1, length, file);
        fwrite(of->weights, sizeof(float), parameters(of), file);
    }
    good &= config && closed(config);
    good &= file && closed(file);
    return good ? TXRAY_OK : failed(host, "the weights cannot be written");
}

static txray_status load(void *component, const txray_host *host, txray_str directory) {
    model *of = component;
    unsigned long long vocabulary = 0, hidden = 0;
    FILE *config = open_in(directory, "config.json", "r");
    if (!config) return invalid(host, "config.json cannot be read");
    int read = fscanf(config, "{\"model_type\": \"{{name}}\", \"vocab_size\": %llu, \"hidden_size\": %llu}", &vocabulary, &hidden);
    fclose(config);
    if (read != 2 || vocabulary == 0 || vocabulary > UINT32_MAX || hidden == 0 || hidden > 65536) {
        return invalid(host, "config.json is not one that this plugin wrote");
    }
    FILE *file = open_in(directory, "model.safetensors", "rb");
    if (!file) return invalid(host, "model.safetensors cannot be read");
    txray_status status = resize(of, host, vocabulary, hidden);
    char expected[512], found[512];
    uint64_t length = (uint64_t)header(of, expected, sizeof expected), told = 0;
    if (status == TXRAY_OK) {
        int whole = fread(&told, sizeof told, 1, file) == 1 && told == length && fread(found, 1, length, file) == length &&
                    memcmp(found, expected, length) == 0 &&
                    fread(of->weights, sizeof(float), parameters(of), file) == parameters(of) && fgetc(file) == EOF;
        for (size_t i = 0; whole && i < parameters(of); i++) whole = isfinite(of->weights[i]);
        if (!whole) status = invalid(host, "model.safetensors is damaged, or does not fit config.json");
    }
    fclose(file);
    if (status != TXRAY_OK) free(of->weights), of->weights = NULL;
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------------------------- */

static txray_status capabilities(const void *component, const txray_host *host,
                                 void (*emit)(void *context, txray_str json), void *context) {
    const model *of = component;
    char json[256];
    (void)host;
    snprintf(json, sizeof json,
             "{\"tasks\": [\"language-model\"], \"rules\": [\"top\", \"above\", \"all\"], "
             "\"sites\": [{\"name\": \"hidden\", \"width\": %llu}]}",
             (unsigned long long)of->neurons);
    emit(context, txray_text_of(json));
    return TXRAY_OK;
}

static txray_status describe(const void *component, const txray_host *host,
                             void (*emit)(void *context, txray_str json), void *context) {
    const model *of = component;
    char json[512];
    if (!of->weights) return failed(host, "the model has no weights yet");
    snprintf(json, sizeof json,
             "{\"sites\": [{\"name\": \"hidden\", \"width\": %llu}], \"vocabulary\": %llu, \"parameters\": %llu, "
             "\"heads\": [{\"task\": \"language-model\", \"classes\": %llu}]}",
             (unsigned long long)of->hidden, (unsigned long long)of->vocabulary, (unsigned long long)parameters(of),
             (unsigned long long)of->vocabulary);
    emit(context, txray_text_of(json));
    return TXRAY_OK;
}

/* h = tanh(E[id]) */
static void activate(const model *of, uint32_t id, float *h) {
    for (size_t n = 0; n < of->hidden; n++) h[n] = tanhf(of->weights[id * of->hidden + n]);
}

static txray_status encode(const void *component, const txray_host *host, const txray_encode_request *request) {
    const model *of = component;
    if (!of->weights) return failed(host, "the model has no weights yet");
    float *h = malloc(of->hidden * sizeof(float));
    if (!h) return failed(host, "out of memory");
    txray_status status = TXRAY_OK;
    for (size_t t = 0; t < request->text.ids.len && status == TXRAY_OK; t++) {
        activate(of, request->text.ids.ptr[t], h);
        for (size_t s = 0; s < request->sites.len; s++) txray_record(request, s, t, h, of->hidden);
        if (t % 4096 == 0 && host->cancelled(host->context)) status = txray_fail(host, TXRAY_CANCELLED, "", "cancelled");
    }
    free(h);
    return status;
}

/* The negative log-likelihood of `next`; leaves the probabilities in `p`. */
static float predict_next(const model *of, const float *h, uint32_t next, float *p) {
    const float *decoder = of->weights + matrix(of), *bias = decoder + matrix(of);
    float most = -INFINITY, whole = 0;
    for (size_t v = 0; v < of->vocabulary; v++) {
        p[v] = bias[v];
        for (size_t n = 0; n < of->hidden; n++) p[v] += decoder[v * of->hidden + n] * h[n];
        most = p[v] > most ? p[v] : most;
    }
    for (size_t v = 0; v < of->vocabulary; v++) whole += p[v] = expf(p[v] - most);
    for (size_t v = 0; v < of->vocabulary; v++) p[v] /= whole;
    return -logf(fmaxf(p[next], 1e-38f));
}

/* Room for h, its gradient, and the probabilities. */
static float *workspace(const model *of) { return malloc((2 * of->hidden + of->vocabulary) * sizeof(float)); }

/* The negative log-likelihood of a document, nats. Writes the loss of each token to `losses`, unless that is NULL. */
static double likelihood(const model *of, const uint32_t *ids, uint64_t tokens, float *losses, float *h) {
    double nll = 0;
    for (uint64_t t = 0; t < tokens; t++) {
        /* The first token is given. */
        float loss = NAN;
        if (t > 0) {
            activate(of, ids[t - 1], h);
            loss = predict_next(of, h, ids[t], h + 2 * of->hidden);
            nll += loss;
        }
        if (losses) losses[t] = loss;
    }
    return nll;
}

static txray_status predict(const void *component, const txray_host *host, const txray_predict_request *request) {
    const model *of = component;
    const txray_text *text = &request->examples.text;
    if (!of->weights) return failed(host, "the model has no weights yet");
    float *h = workspace(of);
    if (!h) return failed(host, "out of memory");
    for (size_t d = 0; d + 1 < text->offsets.len; d++) {
        uint64_t start = text->offsets.ptr[d], tokens = text->offsets.ptr[d + 1] - start;
        float *losses = request->token_losses.len ? request->token_losses.ptr + start : NULL;
        request->losses.ptr[d] = likelihood(of, text->ids.ptr + start, tokens, losses, h);
        request->counts.ptr[d] = tokens ? tokens - 1 : 0;
        if (host->cancelled(host->context)) {
            free(h);
            return txray_fail(host, TXRAY_CANCELLED, "", "cancelled");
        }
    }
    free(h);
    return TXRAY_OK;
}

/* ---- Training ------------------------------------------------------------------------------------------------ */

/* One step of SGD on one pair of tokens; gives the loss before it. */
static float learn(model *of, uint32_t given, uint32_t next, float *h) {
    float *gradient = h + of->hidden, *p = gradient + of->hidden;
    float *decoder = of->weights + matrix(of), *bias = decoder + matrix(of);
    activate(of, given, h);
    float loss = predict_next(of, h, next, p);
    p[next] -= 1; /* now the gradient of the logits */
    memset(gradient, 0, of->hidden * sizeof(float));
    for (size_t v = 0; v < of->vocabulary; v++) {
        for (size_t n = 0; n < of->hidden; n++) {
            float *weight = &decoder[v * of->hidden + n];
            gradient[n] += p[v] * *weight;
            *weight -= of->rate * p[v] * h[n];
        }
        bias[v] -= of->rate * p[v];
    }
    for (size_t n = 0; n < of->hidden; n++) {
        of->weights[given * of->hidden + n] -= of->rate * gradient[n] * (1 - h[n] * h[n]);
    }
    return loss;
}

/* Seconds of a clock that nobody sets back, where there is one. */
static double now(void) {
    struct timespec time;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &time);
#else
    timespec_get(&time, TIME_UTC);
#endif
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void end(void *component) {
    session *of = component;
    free(of->ids), free(of->offsets), free(of->valid_ids), free(of->valid_offsets);
    free(of);
}

/* A copy of a text: what the host gives is borrowed. */
static int copy(const txray_text *text, uint32_t **ids, uint64_t **offsets, txray_text *out) {
    *ids = malloc((text->ids.len + 1) * sizeof **ids), *offsets = malloc((text->offsets.len + 1) * sizeof **offsets);
    if (!*ids || !*offsets) return 0;
    if (text->ids.len) memcpy(*ids, text->ids.ptr, text->ids.len * sizeof **ids);
    if (text->offsets.len) memcpy(*offsets, text->offsets.ptr, text->offsets.len * sizeof **offsets);
    out->ids.ptr = *ids, out->ids.len = text->ids.len, out->offsets.ptr = *offsets, out->offsets.len = text->offsets.len;
    return 1;
}

/* Tells one text from another (FNV-1a). */
static uint64_t hash(const txray_text *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < text->ids.len; i++) hash = (hash ^ text->ids.ptr[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < text->offsets.len; i++) hash = (hash ^ text->offsets.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* What training goes on from. The loss is written in full: %a is exact. */
#define PROGRESS "%llu %llu %a %llu %llu %llu %llu %llu %la\n"

static txray_status go_on(model *of, session *in, const txray_host *host, txray_str directory) {
    unsigned long long neurons, epochs, text, epoch, document, tokens, predicted;
    float rate;
    double loss;
    FILE *file = open_in(directory, "training.txt", "r");
    if (!file) return invalid(host, "training.txt cannot be read");
    int read = fscanf(file, PROGRESS, &neurons, &epochs, &rate, &text, &epoch, &document, &tokens, &predicted, &loss);
    fclose(file);
    if (read != 9) return invalid(host, "training.txt is damaged");
    /* It may go on for more epochs. */
    if (neurons != of->neurons || rate != of->rate || text != in->hash) {
        return invalid(host, "the training was begun with other options, or with another text");
    }
    (void)epochs;
    in->epoch = epoch, in->document = document, in->tokens = tokens, in->predicted = predicted, in->loss = loss;
    return load(of, host, directory);
}

/* Whether every id is below the vocabulary: where weights come from a directory, nobody else has held a text to them. */
static int is_of(const model *of, const txray_text *text) {
    for (size_t t = 0; t < text->ids.len; t++) {
        if (text->ids.ptr[t] >= of->vocabulary) return 0;
    }
    return 1;
}

static txray_status begin(void *component, const txray_host *host, const txray_train_request *request, txray_str from,
                          void **out) {
    model *of = component;
    session *made = calloc(1, sizeof *made);
    if (!made) return failed(host, "out of memory");
    txray_status status = TXRAY_OK;
    if (!copy(&request->train.text, &made->ids, &made->offsets, &made->train) ||
        !copy(&request->valid.text, &made->valid_ids, &made->valid_offsets, &made->valid)) {
        status = failed(host, "out of memory");
    }
    if (status == TXRAY_OK) made->hash = hash(&made->train);
    /* The weights come from there, into a model of its own: where anything fails, this one is as it was. */
    model other = *of;
    if (from.len) other.weights = NULL;
    if (status == TXRAY_OK && from.len) status = go_on(&other, made, host, from);
    if (status == TXRAY_OK && !other.weights) status = failed(host, "the model has no weights yet");
    if (status == TXRAY_OK && !(is_of(&other, &made->train) && is_of(&other, &made->valid))) {
        status = invalid(host, "the text is not of the model's vocabulary");
    }
    if (from.len) {
        free(status == TXRAY_OK ? of->weights : other.weights);
        if (status == TXRAY_OK) *of = other;
    }
    if (status == TXRAY_OK) *out = made;
    else end(made);
    return status;
}

static txray_status step(void *component, void *training, const txray_host *host, double pause, txray_train_report *out) {
    model *of = component;
    session *in = training;
    double start = now();
    uint64_t documents = in->train.offsets.len ? in->train.offsets.len - 1 : 0;
    int paused = 0;
    if (in->document == 0) in->loss = 0, in->predicted = 0;
    float *h = workspace(of);
    if (!h) return failed(host, "out of memory");
    txray_status status = TXRAY_OK;
    while (status == TXRAY_OK && in->document < documents && !paused) {
        const uint64_t *cut = &in->offsets[in->document];
        for (uint64_t t = cut[0] + 1; t < cut[1]; t++) {
            in->loss += learn(of, in->ids[t - 1], in->ids[t], h);
            in->predicted++;
        }
        in->tokens += cut[1] - cut[0];
        in->document++;
        /* It stands between two documents now, and may be stopped or saved. */
        host->progress(host->context, in->tokens, of->epochs * in->train.ids.len, txray_text_of(""));
        if (host->cancelled(host->context)) status = txray_fail(host, TXRAY_CANCELLED, "", "cancelled");
        paused = in->document < documents && now() - start >= pause;
    }
    double seconds = now() - start, valid_loss = NAN;
    if (status == TXRAY_OK && !paused) {
        /* Before the epoch counts as over: cancelled here, the next call comes back to this place. */
        double nll = 0;
        uint64_t predicted = 0;
        for (size_t d = 0; status == TXRAY_OK && d + 1 < in->valid.offsets.len; d++) {
            uint64_t at = in->valid_offsets[d], tokens = in->valid_offsets[d + 1] - at;
            nll += likelihood(of, in->valid_ids + at, tokens, NULL, h);
            predicted += tokens ? tokens - 1 : 0;
            if (host->cancelled(host->context)) status = txray_fail(host, TXRAY_CANCELLED, "", "cancelled");
        }
        if (in->valid.offsets.len > 1) valid_loss = nll / (double)(predicted ? predicted : 1);
    }
    free(h);
    if (status != TXRAY_OK) return status;
    if (!paused) in->document = 0, in->epoch++;
    out->epoch = in->epoch;
    out->tokens = in->tokens;
    out->loss = in->loss / (double)(in->predicted ? in->predicted : 1);
    out->valid_loss = valid_loss;
    out->seconds = seconds;
    out->done = in->epoch >= of->epochs;
    out->paused = (uint32_t)paused;
    return TXRAY_OK;
}

static txray_status save_session(const void *component, const void *training, const txray_host *host, txray_str directory) {
    const model *of = component;
    const session *in = training;
    txray_status status = save(component, host, directory);
    if (status != TXRAY_OK) return status;
    FILE *file = open_in(directory, "training.txt", "w");
    if (!file) return failed(host, "training.txt cannot be written");
    fprintf(file, PROGRESS, (unsigned long long)of->neurons, (unsigned long long)of->epochs, (double)of->rate,
            (unsigned long long)in->hash, (unsigned long long)in->epoch, (unsigned long long)in->document,
            (unsigned long long)in->tokens, (unsigned long long)in->predicted, in->loss);
    return closed(file) ? TXRAY_OK : failed(host, "training.txt cannot be written");
}

/* What it can do. It remembers nothing, and so has no TXRAY_CARRY. */
static const void *ability(const void *component, txray_str name) {
    static const txray_encode_table encodes = {sizeof encodes, encode};
    static const txray_predict_table predicts = {sizeof predicts, predict};
    static const txray_train_table trains = {sizeof trains, begin, step, save_session, end};
    (void)component;
    if (txray_equals(name, TXRAY_ENCODE)) return &encodes;
    if (txray_equals(name, TXRAY_PREDICT)) return &predicts;
    return txray_equals(name, TXRAY_TRAIN) ? &trains : NULL;
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
               "\"about\": \"a language model that remembers nothing\", \"devices\": [\"cpu\"],"
               "\"options\": {\"type\": \"object\", \"properties\": {"
               "\"hidden\": {\"type\": \"integer\", \"minimum\": 1, \"default\": 32, \"description\": \"Neurons.\"},"
               "\"train\": {\"type\": \"object\", \"description\": \"Plain SGD, one document a step.\", \"properties\": {"
               "\"epochs\": {\"type\": \"integer\", \"format\": \"epochs\", \"minimum\": 1, \"default\": 2,"
               "\"description\": \"Passes over the training text.\"},"
               "\"learning_rate\": {\"type\": \"number\", \"default\": 0.1, \"description\": \"Step size.\"}}}}}}]}"),
    query,
};

const txray_plugin *txray_plugin_v1(void) { return &plugin; }
