/* The boundary between txray and its plugins, version 1, for C11 and C++11. This file is all a plugin needs.
 *
 * A plugin is a dynamic library that exports `txray_plugin_v1`. The txray_plugin it returns names the plugin's
 * components and gives, for an interface (TXRAY_METRIC, TXRAY_PRUNER, ...), the table of functions behind it. The host
 * makes components from options, calls them, and ends them:
 *
 *     entry -> query(interface) -> table;  create(kind, options) -> component;  calls;  destroy
 *
 * A model has a table of its own, and one for each ability (TXRAY_ENCODE, ...), which the component is asked for by name.
 *
 * Rules:
 *  - Memory. What a call is given (text, slices, the txray_host itself) is borrowed: it is valid until the call
 *    returns, so copy what is to be kept. Outputs are written into memory of the caller. What a plugin hands to an
 *    `emit` callback is borrowed by the host until that callback returns. Nobody frees what the other has allocated.
 *  - A slice of length 0 may come with any pointer, NULL included. Text is UTF-8 and does not end in NUL.
 *  - Errors. A call that can fail returns a txray_status. Before it returns anything but TXRAY_OK it says why through
 *    `host->fail`. What it has then written to its outputs is ignored.
 *  - Threads. A function whose first parameter is `const void *` may be called from many threads at once. One whose
 *    first parameter is `void *` never is, nor while any other call on the same component runs. The entry, `query` and
 *    `create` may be called from many threads at once. A call may start threads of its own, up to `host->threads`.
 *  - Nothing unwinds across the boundary: no C++ exception, no longjmp. No call ends the process: `exit` in a call is a
 *    failure of the run.
 *  - A list that a plugin gives has 2^28 values at most, a description 16 MiB. A host checks what it is given before it
 *    makes anything of it; that as many values are there as a length says, it must believe.
 *  - A plugin prints nothing: it logs through the host. It is never unloaded.
 *  - Structs with a `size` (as sizeof gave it to whoever filled them) may grow at their end. Who is given one reads no
 *    further than its size, and takes fields that are not there for 0: TXRAY_HAS asks. Structs without a size are frozen:
 *    txray_host, txray_plugin, the tables, txray_metric_batch, txray_columns, txray_activation_batch, txray_encode_request,
 *    txray_predict_request, txray_train_request and txray_train_report grow; all others never change. A new ability is a new
 *    name.
 *
 * A plugin runs with all rights of the user who runs txray.
 */
#ifndef TXRAY_H
#define TXRAY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define TXRAY_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define TXRAY_EXPORT __attribute__((visibility("default")))
#else
#define TXRAY_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Constants ---------------------------------------------------------------------------------------------- */

#define TXRAY_MAGIC UINT64_C(0x676c707961727874) /* the bytes "txrayplg", little-endian */
#define TXRAY_ABI_MAJOR UINT32_C(1)              /* must be equal in host and plugin */
#define TXRAY_ABI_MINOR UINT32_C(2)              /* grows when structs grow; never compared */
#define TXRAY_ENTRY "txray_plugin_v1"            /* the exported symbol */
#define TXRAY_NULL UINT32_MAX                    /* "no value" in a column of uint32_t */

/* The interfaces, and the table that `query` gives for each. */
#define TXRAY_METRIC "txray.metric/1" /* txray_metric_table: distances between preference distributions */
#define TXRAY_PRUNER "txray.pruner/1" /* txray_pruner_table: scores of neurons */
#define TXRAY_SOURCE "txray.source/1" /* txray_source_table: activations from elsewhere */
#define TXRAY_SINK "txray.sink/1"     /* txray_sink_table: reports of a finished run */
#define TXRAY_MODEL "txray.model/0"   /* txray_model_table: models; unstable while its version is 0 */
#define TXRAY_MODEL_REVISION UINT64_C(2) /* grows with each change of that; must be equal in host and plugin */

/* The abilities of models, and the table that a model's `ability` gives for each. */
#define TXRAY_ENCODE "txray.model.encode/0"     /* txray_encode_table: reading documents */
#define TXRAY_PREDICT "txray.model.predict/0"   /* txray_predict_table: losses and outputs */
#define TXRAY_TRAIN "txray.model.train/0"       /* txray_train_table: training */
#define TXRAY_CARRY "txray.model.carry/0"       /* txray_carry_table: a state that goes from text to text */
#define TXRAY_EXTEND "txray.model.extend/0"     /* txray_extend_table: a vocabulary that grows */
#define TXRAY_SURGERY "txray.model.surgery/0"   /* reserved: masks made physical, views of the weights of each neuron */
#define TXRAY_GRADIENT "txray.model.gradient/0" /* reserved: the importance of each neuron for a task */

/* Which activations of a token are kept. */
#define TXRAY_RULE_TOP 1   /* of the k strongest neurons */
#define TXRAY_RULE_ABOVE 2 /* of neurons whose strength is above a threshold */
#define TXRAY_RULE_ALL 3   /* of every neuron */

/* What the strength of a neuron is. */
#define TXRAY_SIGN_POSITIVE 0 /* h */
#define TXRAY_SIGN_NEGATIVE 1 /* -h */
#define TXRAY_SIGN_ABSOLUTE 2 /* |h| */

/* What a model is trained for, and predicts. */
#define TXRAY_TASK_LANGUAGE_MODEL 1 /* the next token; no targets are given: they are the tokens */
#define TXRAY_TASK_CLASSIFICATION 2 /* a label a document */
#define TXRAY_TASK_TAGGING 3        /* a label a token */

typedef int32_t txray_status;
#define TXRAY_OK 0        /* it did what was asked */
#define TXRAY_INVALID 1   /* the user's options or input are at fault: they can mend it */
#define TXRAY_FAILED 2    /* the plugin is at fault, or its surroundings */
#define TXRAY_CANCELLED 3 /* it stopped because `host->cancelled` said so */

#define TXRAY_LOG_ERROR 1
#define TXRAY_LOG_WARNING 2
#define TXRAY_LOG_INFORMATION 3
#define TXRAY_LOG_DEBUG 4

/* ---- Slices: the first value, and how many ------------------------------------------------------------------- */

typedef struct txray_str { const char *ptr; size_t len; } txray_str; /* UTF-8 text; `len` counts bytes */

typedef struct txray_u32_slice { const uint32_t *ptr; size_t len; } txray_u32_slice;
typedef struct txray_u64_slice { const uint64_t *ptr; size_t len; } txray_u64_slice;
typedef struct txray_f32_slice { const float *ptr; size_t len; } txray_f32_slice;
typedef struct txray_f64_slice { const double *ptr; size_t len; } txray_f64_slice;

/* Outputs: allocated by the caller, written by the callee. */
typedef struct txray_u32_slice_mut { uint32_t *ptr; size_t len; } txray_u32_slice_mut;
typedef struct txray_f32_slice_mut { float *ptr; size_t len; } txray_f32_slice_mut;
typedef struct txray_u64_slice_mut { uint64_t *ptr; size_t len; } txray_u64_slice_mut;
typedef struct txray_f64_slice_mut { double *ptr; size_t len; } txray_f64_slice_mut;

/* A sum in fixed point, with 64 bits behind the point: (high * 2^64 + low) / 2^64. Adding is exact, so that any order of any
 * parts gives the same bits; a double's sum does not. Sums stay within 2^62 of 0. `txray_sum_add` adds to one. */
typedef struct txray_exact_sum {
    int64_t high; /* the whole part, rounded down */
    uint64_t low; /* what is above it, times 2^64 */
} txray_exact_sum;

typedef struct txray_exact_sum_slice { const txray_exact_sum *ptr; size_t len; } txray_exact_sum_slice;
typedef struct txray_exact_sum_slice_mut { txray_exact_sum *ptr; size_t len; } txray_exact_sum_slice_mut;

/* A table of strings: string i is bytes[offsets[i] .. offsets[i + 1]]. */
typedef struct txray_strings {
    txray_str bytes;         /* all strings, one after the other */
    txray_u64_slice offsets; /* [strings + 1], never falling, from 0 to bytes.len; empty for no strings */
} txray_strings;

/* ---- The host ------------------------------------------------------------------------------------------------ */

/* What the host offers to a call. Valid for that call alone; its functions may be called from any thread. */
typedef struct txray_host {
    size_t size;       /* of the host's txray_host */
    void *context;     /* first argument of every function here */
    uint32_t threads;  /* how many threads the call may use */
    uint32_t reserved; /* 0 */
    /* Logs a line at one of the levels TXRAY_LOG_*. */
    void (*log)(void *context, uint32_t level, txray_str message);
    /* Reports progress of this call: `done` of `total` tokens (0: unknown), and a word on it (may be empty). */
    void (*progress)(void *context, uint64_t done, uint64_t total, txray_str message);
    /* Not 0 once the call should stop and return TXRAY_CANCELLED. Long calls ask now and then. */
    uint32_t (*cancelled)(void *context);
    /* Says why the call is about to return something else than TXRAY_OK; the last word counts. The message reads well
     * after "failed to ...: ". `pointer` is a JSON pointer to the option at fault, such as "/alpha": the user is shown
     * that line of their file. Empty: no single option is at fault. */
    void (*fail)(void *context, txray_str pointer, txray_str message);
} txray_host;

/* ---- The plugin ---------------------------------------------------------------------------------------------- */

typedef struct txray_plugin {
    uint64_t magic;     /* TXRAY_MAGIC */
    uint32_t abi_major; /* TXRAY_ABI_MAJOR */
    uint32_t abi_minor; /* TXRAY_ABI_MINOR */
    size_t size;        /* sizeof(txray_plugin) */
    /* JSON:
     *     {"name": "...", "version": "...", "components": [
     *         {"interface": "txray.metric/1", "kind": "total-variation", "about": "half the L1 distance",
     *          "options": {"type": "object", ...}, "claims": ["symmetric", "identity", "bounded", "triangle"]}]}
     * `kind` is the name that pipelines use; `options` is the JSON Schema of the options. Metrics may have `claims`
     * ("affinity" is another), which conformance tests hold them to and hosts that do not know them pass over; models may
     * have `devices`, such as ["cpu"]. */
    txray_str info;
    /* The table of an interface, or NULL where the plugin does not supply it. */
    const void *(*query)(txray_str interface_name);
} txray_plugin;

/* The type of the exported symbol. What it returns must live as long as the process. */
typedef const txray_plugin *(*txray_entry)(void);

/* The symbol to define. */
TXRAY_EXPORT const txray_plugin *txray_plugin_v1(void);

/* Every table of an interface begins with its size and these two.
 *
 * Makes a component of the kind named, from options (a JSON object), and writes it to `out`: any pointer but NULL,
 * which the host hands back to every other function of the table. Cheap: it is also how options are checked before
 * anything runs. Unknown or wrong options are TXRAY_INVALID. */
typedef txray_status (*txray_create)(const txray_host *host, txray_str kind, txray_str options, void **out);
/* Ends a component, once. */
typedef void (*txray_destroy)(void *component);

/* ---- txray.metric/1 ------------------------------------------------------------------------------------------ */

/* Pairs of preference distributions, ragged: row r (one neuron in one layer) holds the entries
 * offsets[r] .. offsets[r + 1] of every column, one for each feature that either side prefers, in rising order of
 * feature id. Both sides of a row have mass. */
typedef struct txray_metric_batch {
    size_t size;              /* of the host's txray_metric_batch */
    txray_u64_slice offsets;  /* [rows + 1] */
    txray_u32_slice features; /* [entries] feature ids, indices into `names` */
    txray_f64_slice p;        /* [entries] probabilities of the first side; each row sums to 1 */
    txray_f64_slice q;        /* [entries] probabilities of the second side */
    txray_u64_slice count_p;  /* [entries] how often the feature was observed, first side */
    txray_u64_slice count_q;  /* [entries] the same, second side */
    txray_f64_slice mass_p;   /* [entries] sum of the activations, first side */
    txray_f64_slice mass_q;   /* [entries] the same, second side */
    txray_strings names;      /* names of the features, by id */
} txray_metric_batch;

typedef struct txray_metric_table {
    size_t size; /* sizeof(txray_metric_table) */
    txray_create create;
    txray_destroy destroy;
    /* Writes one distance a row to `out` ([rows]); NaN where it is undefined. A row's distance must not depend on the
     * rows beside it: the host cuts batches as it likes. Ids of features only tell them apart: numbering the features
     * anew, their names with them, changes a distance by rounding alone. */
    txray_status (*distances)(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                              txray_f64_slice_mut out);
} txray_metric_table;

/* ---- txray.pruner/1 ------------------------------------------------------------------------------------------ */

/* What is known of each neuron: named columns of equal length; missing values are NaN. */
typedef struct txray_columns {
    size_t size;            /* of the host's txray_columns */
    uint64_t rows;          /* length of every column */
    txray_strings names;    /* [columns] */
    txray_f64_slice values; /* [columns, rows], column after column */
} txray_columns;

typedef struct txray_pruner_table {
    size_t size; /* sizeof(txray_pruner_table) */
    txray_create create;
    txray_destroy destroy;
    /* Writes one score a neuron to `out` ([rows]); the highest are pruned first, NaN never. Columns are found by name:
     * neither their order nor columns that a pruner does not know change a score, and scores follow their neurons
     * whatever the order of the rows, within rounding. */
    txray_status (*scores)(const void *pruner, const txray_host *host, const txray_columns *columns,
                           txray_f64_slice_mut out);
} txray_pruner_table;

/* ---- txray.sink/1 -------------------------------------------------------------------------------------------- */

typedef struct txray_sink_table {
    size_t size; /* sizeof(txray_sink_table) */
    txray_create create;
    txray_destroy destroy;
    /* Reads the finished run in `directory` (its tables are Parquet), described by `manifest` (JSON), and writes its
     * report into the same directory. */
    txray_status (*write)(void *sink, const txray_host *host, txray_str directory, txray_str manifest);
} txray_sink_table;

/* ---- txray.source/1 ------------------------------------------------------------------------------------------ */

/* The features of one layer: token t has the feature names[features[t]], or none (TXRAY_NULL). */
typedef struct txray_layer_column {
    txray_str name;           /* the layer, such as "pos" */
    txray_u32_slice features; /* [tokens] */
    txray_strings names;
    uint64_t unjoined; /* tokens with a span that found no annotation to join */
} txray_layer_column;

/* The moments of one site: sums over all tokens of a batch, recorded or not, [width] each. */
typedef struct txray_moments {
    txray_f64_slice sum;     /* of h */
    txray_f64_slice sum_abs; /* of |h| */
    txray_f64_slice sum_sq;  /* of h * h */
} txray_moments;

/* The same in exact sums. */
typedef struct txray_exact_moments {
    txray_exact_sum_slice sum;
    txray_exact_sum_slice sum_abs;
    txray_exact_sum_slice sum_sq;
} txray_exact_moments;

typedef struct txray_layer_column_slice { const txray_layer_column *ptr; size_t len; } txray_layer_column_slice;
typedef struct txray_moments_slice { const txray_moments *ptr; size_t len; } txray_moments_slice;
typedef struct txray_exact_moments_slice { const txray_exact_moments *ptr; size_t len; } txray_exact_moments_slice;

/* Whole documents with their tokens, the features of those tokens, and the activations that the record rule kept. */
typedef struct txray_activation_batch {
    size_t size;                     /* sizeof(txray_activation_batch) */
    txray_u64_slice documents;       /* [documents] ids */
    txray_strings groups;            /* [documents] names of their groups ("": in none); no strings: no groups */
    txray_u64_slice offsets;         /* [documents + 1] into the tokens */
    txray_u32_slice starts;          /* [tokens] start in the document's text, in Unicode scalars, or TXRAY_NULL */
    txray_u32_slice ends;            /* [tokens] end, likewise */
    uint64_t unknown;                /* tokens that the model's vocabulary did not know */
    txray_layer_column_slice layers; /* one column of features a layer */
    txray_u32_slice token;           /* [observations] index of the token in this batch, never falling */
    txray_u32_slice site;            /* [observations] index into the sites described */
    txray_u32_slice neuron;          /* [observations] */
    txray_f32_slice activation;      /* [observations] */
    txray_moments_slice moments;     /* [sites]; empty where the source does not know them, or knows them exactly */
    /* Since minor version 1: [sites] the moments in exact sums, so that they do not depend on how documents are cut into
     * batches; empty where the source does not know them so. */
    txray_exact_moments_slice exact_moments;
    /* Since minor version 2: [documents] the lines of their file that the documents stand in, from 1 (0: in none); empty where
     * the source does not know them. `starts` and `ends` count from where such a line begins, or the field of a table. */
    txray_u64_slice lines;
    /* Since minor version 2: characters of the documents (Unicode scalars that are no white space; 0 where the source does not
     * know), how many of them no token reads, and documents with characters of which that goes for all. */
    uint64_t characters;
    uint64_t dropped;
    uint64_t dropped_documents;
} txray_activation_batch;

typedef struct txray_source_table {
    size_t size; /* sizeof(txray_source_table) */
    txray_create create;
    txray_destroy destroy;
    /* Hands to `emit` what the source reads, as JSON: {"sites": [{"name": "lstm.0.hidden", "width": 200}],
     * "layers": ["token"]}. */
    txray_status (*describe)(const void *source, const txray_host *host, void (*emit)(void *context, txray_str json),
                             void *context);
    /* Hands the next documents to `emit`, once; at the end, does not call it. A batch is bounded, whatever the length
     * of the corpus. */
    txray_status (*next)(void *source, const txray_host *host,
                         void (*emit)(void *context, const txray_activation_batch *batch), void *context);
} txray_source_table;

/* ---- txray.model/0 (unstable) -------------------------------------------------------------------------------- */

/* Ragged documents. */
typedef struct txray_text {
    txray_u32_slice ids;     /* [tokens] token ids, below the model's vocabulary */
    txray_u64_slice offsets; /* [documents + 1] into `ids`; empty for no documents */
} txray_text;

/* Documents with what is to be predicted of them. */
typedef struct txray_examples {
    txray_text text;
    /* [documents] or [tokens] classes, by the task, TXRAY_NULL where there is none; empty for language models. */
    txray_u32_slice targets;
} txray_examples;

/* What the neurons of a site are held to, at every step: the model computes as if they had these values. It holds what a step
 * gives: a state that is carried in is taken as it is. */
typedef struct txray_mask {
    uint32_t site;          /* index into the model's sites, those apart that are `unmaskable`; no two masks have the same */
    uint32_t reserved;      /* 0 */
    txray_f32_slice values; /* [width] the value of a neuron, finite; NaN: it is left as it is */
} txray_mask;

typedef struct txray_mask_slice { const txray_mask *ptr; size_t len; } txray_mask_slice;

/* The base, which every model has. */
typedef struct txray_model_table {
    size_t size; /* sizeof(txray_model_table) */
    /* Makes a model without weights. The options are the model's table in the pipeline, less the engine's own keys. */
    txray_create create;
    txray_destroy destroy; /* states and sessions of the model have ended before */
    size_t revision;       /* TXRAY_MODEL_REVISION; it stands here in every revision */
    /* The table of an ability (TXRAY_ENCODE, ...), or NULL where this model does not have it. Known before it has weights,
     * always the same, and valid as long as the process lives. */
    const void *(*ability)(const void *model, txray_str name);
    /* Hands to `emit` what the model can be asked for, as JSON, before it has weights too: {"tasks": ["language-model"],
     * "rules": ["top", "above", "all"], "masks": true, "predictions": true, "sites": [{"name": "lstm.0.hidden", "width": 200}]}.
     * Tasks are those that it predicts, and trains for if it trains; rules those of `txray_site_request`. What is not there, it
     * does not have. A pipeline that asks for more is refused before anything runs. `sites` are those of `describe` once
     * `initialize` has drawn its weights, where its options say that already; none: only the weights tell. */
    txray_status (*capabilities)(const void *model, const txray_host *host,
                                 void (*emit)(void *context, txray_str json), void *context);
    /* Hands to `emit` what it is once it has weights, as JSON: {"sites": [{"name": "lstm.0.hidden", "width": 200}],
     * "vocabulary": 10000, "parameters": 2000000, "heads": [{"task": "language-model", "classes": 10000}], "unmaskable": [1],
     * "lacks": [{"ability": "train", "why": "it is of eight bits"}], "longest_context": 512, "trained_state": "reset"}.
     * `heads` are the tasks that these weights predict, and of how many classes
     * (a language model: of tokens); `unmaskable` the sites that no mask can be of; `lacks` what of its plugin's
     * abilities ("train", "carry") these weights do not have; `longest_context` is how many tokens a
     * document has at most (a host gives no longer one), null: any number; `trained_state` is "reset", "carry" or null. */
    txray_status (*describe)(const void *model, const txray_host *host, void (*emit)(void *context, txray_str json),
                             void *context);
    /* Draws new weights from the seed; the same seed gives the same weights. */
    txray_status (*initialize)(void *model, const txray_host *host, uint64_t vocabulary, uint64_t seed);
    /* Reads its weights from a checkpoint directory (config.json, model.safetensors). */
    txray_status (*load)(void *model, const txray_host *host, txray_str directory);
    /* Writes a checkpoint into a directory that exists. The bytes depend on the weights alone. */
    txray_status (*save)(const void *model, const txray_host *host, txray_str directory);
} txray_model_table;

/* -- encode -- */

/* What to keep of one site, by a record rule; and over all tokens the moments: what is added to them for a document depends on
 * that document alone (and on the state that was carried into it), bit for bit. */
typedef struct txray_site_request {
    uint32_t site;                     /* index into the model's sites */
    uint32_t rule;                     /* TXRAY_RULE_TOP, ... */
    uint32_t sign;                     /* TXRAY_SIGN_POSITIVE, ... */
    uint32_t k;                        /* of TXRAY_RULE_TOP: neurons kept for each token, from 1 to the site's width, in */
                                       /* falling order of their strength, ties by the lower index; else 0 */
    float threshold;                   /* of TXRAY_RULE_ABOVE: what the strength is above, a number; else 0 */
    uint32_t reserved;                 /* 0 */
    txray_u32_slice_mut neurons;       /* [tokens, k] */
    txray_f32_slice_mut activations;   /* [tokens, k] values of h */
    txray_exact_sum_slice_mut sum;     /* [width]: the sum of h over all tokens is added to it; empty, as all three are then: */
    txray_exact_sum_slice_mut sum_abs; /* nobody asks. [width]: the sum of |h| is added to it */
    txray_exact_sum_slice_mut sum_sq;  /* [width]: the sum of h * h is added to it */
} txray_site_request;

typedef struct txray_site_request_slice { const txray_site_request *ptr; size_t len; } txray_site_request_slice;

/* Observations of one site. Those of one document come in the order of its tokens, and of one token in the order of neurons;
 * documents come in any order. */
typedef struct txray_block {
    uint32_t request;           /* index into the sites of the request */
    uint32_t reserved;          /* 0 */
    txray_u32_slice token;      /* [observations] index of the token in the text */
    txray_u32_slice neuron;     /* [observations] */
    txray_f32_slice activation; /* [observations] values of h */
} txray_block;

typedef struct txray_encode_request {
    size_t size; /* of the host's txray_encode_request */
    txray_text text;
    /* NULL: a state is cleared at every document's start. Else one of TXRAY_CARRY: the documents are one stream, and it is carried
     * in and out. */
    void *state;
    txray_mask_slice masks;         /* under which neurons are held to values */
    txray_site_request_slice sites; /* what to read at each site */
    uint32_t task;                  /* of `predictions`, one of the model's heads; 0 where these are empty */
    uint32_t reserved;              /* 0 */
    /* [tokens], or empty: the class that the model itself predicts by that task once it has read a token; of a language model the
     * token that it holds most probable to follow. */
    txray_u32_slice_mut predictions;
    /* Is handed what TXRAY_RULE_ABOVE and TXRAY_RULE_ALL keep, in blocks. May be called from many threads at once. What was emitted
     * before a failure counts for nothing. */
    void (*emit)(void *context, const txray_block *block);
    void *context; /* first argument of `emit` */
} txray_encode_request;

typedef struct txray_encode_table {
    size_t size; /* sizeof(txray_encode_table) */
    /* Reads documents and reduces their activations. A document's observations must not depend, bit for bit, on the
     * documents beside it or on the number of threads. An activation that is not finite is TXRAY_INVALID: in which
     * document, the host finds out. */
    txray_status (*encode)(const void *model, const txray_host *host, const txray_encode_request *request);
} txray_encode_table;

/* -- predict -- */

typedef struct txray_predict_request {
    size_t size;             /* of the host's txray_predict_request */
    uint32_t task;           /* that of one of the model's heads: TXRAY_TASK_LANGUAGE_MODEL, ... */
    uint32_t reserved;       /* 0 */
    txray_examples examples; /* the documents, and what is right */
    /* As in txray_encode_request. A language model predicts the first token of a document only where there is a state, and that has
     * read something. */
    void *state;
    txray_mask_slice masks;           /* under which neurons are held to values */
    txray_f64_slice_mut losses;       /* [documents] the loss of each, nats, summed over what was predicted of it */
    txray_u64_slice_mut counts;       /* [documents] how much that was: tokens, or 1 a document that has a label */
    txray_f32_slice_mut token_losses; /* [tokens], or empty: the loss of each token, nats; NaN where it was not predicted */
    /* [documents] or [tokens], or empty: the most probable class. Not for language models. */
    txray_u32_slice_mut predicted;
    /* [documents, classes] or [tokens, classes] probabilities, or empty. Not for language models. */
    txray_f32_slice_mut probabilities;
} txray_predict_request;

typedef struct txray_predict_table {
    size_t size; /* sizeof(txray_predict_table) */
    /* Losses of documents, and what is asked of the outputs. A document's loss must not depend on the number of threads, and
     * on the documents beside it by rounding alone. */
    txray_status (*predict)(const void *model, const txray_host *host, const txray_predict_request *request);
} txray_predict_table;

/* -- train -- */

typedef struct txray_train_request {
    size_t size;          /* of the host's txray_train_request */
    uint32_t task;        /* one of the model's tasks */
    uint32_t classes;     /* how many there are; 0 for language models */
    txray_examples train; /* to train on */
    txray_examples valid; /* predicted at the end of each epoch; no documents: there is none */
    uint64_t seed;        /* of everything random */
} txray_train_request;

/* Where training stands. The plugin writes its fields as far as the host's size reaches. */
typedef struct txray_train_report {
    size_t size;       /* of the host's txray_train_report; stays as it is */
    uint64_t epoch;    /* epochs completed */
    uint64_t tokens;   /* trained on since the beginning */
    double loss;       /* mean training loss of the epoch, nats; of what it has read so far where paused */
    double valid_loss; /* mean validation loss, nats; NaN without validation, or where paused */
    double seconds;    /* of optimizer steps in this call */
    uint32_t done;     /* not 0 once every epoch is completed */
    uint32_t paused;   /* not 0 where the epoch is not at its end: call again to go on */
} txray_train_report;

/* Sessions. A model has one at a time, and while it has, its weights change by the session's steps alone; functions that take the
 * model as `const` may be called between them. A session is in one call at a time, whatever is `const`. */
typedef struct txray_train_table {
    size_t size; /* sizeof(txray_train_table) */
    /* Begins a session, and writes it to `session`: any pointer but NULL. `from` is empty: training begins with the weights
     * that the model has. Else it is a directory that `save_session` wrote, of a model with the same options and for the same
     * request: the weights come from there, and training goes on; that ids are below their vocabulary is then the plugin's to hold.
     * Options or a request that change the training are refused; more epochs than it was begun with are not, where it then ends
     * with what that many from the beginning would have given. What is to be kept of the request, is copied. Where it fails, the
     * model is as it was. */
    txray_status (*begin)(void *model, const txray_host *host, const txray_train_request *request, txray_str from,
                          void **session);
    /* Trains to the end of the next epoch, or until `pause` seconds are over, after at least one optimizer step unless all of the
     * epoch are made (INFINITY: never). The host calls it again until the report says `done`, and not after that. Cancelled, the
     * session stands between two optimizer steps, and may be saved and stepped again. Wherever it was paused, cancelled, or saved
     * and begun from there again, and whatever the number of threads, it ends with the same bytes. */
    txray_status (*step)(void *model, void *session, const txray_host *host, double pause, txray_train_report *out);
    /* Writes all that training goes on from into a directory that exists: the weights, and where it stands. */
    txray_status (*save_session)(const void *model, const void *session, const txray_host *host, txray_str directory);
    /* Ends a session, once, before its model; `const` calls on that may be under way. */
    void (*end)(void *session);
} txray_train_table;

/* -- carry -- */

/* States of a model that go from text to text. Where they lie is the plugin's affair. A state is of the weights that the model has
 * when it is made: it lives on through a session's steps, and may only be ended once others are drawn or loaded. It is in one call
 * at a time, whatever is `const`; after a call that failed it may only be ended. */
typedef struct txray_carry_table {
    size_t size; /* sizeof(txray_carry_table) */
    /* Makes a state, and writes it to `state`: any pointer but NULL. `from` is NULL: one that has read nothing; else a copy of
     * that state. */
    txray_status (*make)(const void *model, const txray_host *host, const void *from, void **state);
    /* Ends a state, once, before its model; other calls on that may be under way. */
    void (*end)(void *state);
} txray_carry_table;

/* -- extend -- */

/* A model whose vocabulary can grow. */
typedef struct txray_extend_table {
    size_t size; /* sizeof(txray_extend_table) */
    /* Makes the vocabulary `vocabulary` tokens long, which is no fewer than it has. What is computed of the others does not change, but
     * that what a language model expects of the token `like`, one of theirs, is shared among it and the new ones, which begin as it.
     * Where it fails, the model is as it was. */
    txray_status (*extend)(void *model, const txray_host *host, uint64_t vocabulary, uint32_t like);
} txray_extend_table;

/* ---- Conveniences -------------------------------------------------------------------------------------------- */

/* Initialises a txray_str from a string literal: `txray_str about = TXRAY_TEXT("half the L1 distance");` */
#define TXRAY_TEXT(literal) { (literal), sizeof(literal) - 1 }

/* Whether a struct that grows has this field: `if (TXRAY_HAS(batch, names)) ...` */
#define TXRAY_HAS(pointer, field) \
    ((pointer)->size >= (size_t)((const char *)(&(pointer)->field + 1) - (const char *)(pointer)))

/* Borrows a C string. */
static inline txray_str txray_text_of(const char *string) {
    txray_str text;
    text.ptr = string;
    text.len = strlen(string);
    return text;
}

/* Whether a text is this C string. */
static inline int txray_equals(txray_str text, const char *string) {
    return text.len == strlen(string) && (text.len == 0 || memcmp(text.ptr, string, text.len) == 0);
}

/* The strength of an activation by a sign (TXRAY_SIGN_POSITIVE, ...); 0 is one with -0. */
static inline float txray_strength(uint32_t sign, float h) {
    if (sign == TXRAY_SIGN_NEGATIVE || (sign == TXRAY_SIGN_ABSOLUTE && h < 0)) h = -h;
    return h + 0.0f;
}

/* Says why, and gives the status back: `return txray_fail(host, TXRAY_INVALID, "/alpha", "must be above 0");` */
static inline txray_status txray_fail(const txray_host *host, txray_status status, const char *pointer,
                                      const char *message) {
    host->fail(host->context, txray_text_of(pointer), txray_text_of(message));
    return status;
}

/* Adds a value to an exact sum, rounded to 2^-64, ties to even. What is no number, or beyond 2^62, makes the sum one that
 * the host refuses, and so does a sum beyond that. */
static inline void txray_sum_add(txray_exact_sum *sum, double value) {
    const double limit = 4611686018427387904.0; /* 2^62 */
    double size = value < 0 ? -value : value;
    uint64_t high, low;
    double scaled, rest;
    if (sum->high > INT64_C(4611686018427387904) || sum->high < -INT64_C(4611686018427387904)
        || (sum->high == INT64_C(4611686018427387904) && sum->low != 0)) {
        return;
    }
    if (!(size <= limit)) {
        sum->high = INT64_MAX;
        return;
    }
    high = (uint64_t)size;
    scaled = (size - (double)high) * 18446744073709551616.0;
    low = (uint64_t)scaled;
    rest = scaled - (double)low;
    low += rest > 0.5 || (rest == 0.5 && low % 2 == 1);
    if (value < 0) {
        low = 0 - low;
        high = 0 - high - (low != 0);
    }
    sum->low += low;
    high += (uint64_t)sum->high + (sum->low < low);
    memcpy(&sum->high, &high, sizeof high);
}

/* Whether neuron a comes before b: it is stronger, or as strong and of the lower index. */
static inline int txray_comes_before(uint32_t sign, const float *h, size_t a, size_t b) {
    float of_a = txray_strength(sign, h[a]), of_b = txray_strength(sign, h[b]);
    return of_a > of_b || (of_a == of_b && a < b);
}

/* Keeps what a request wants of one token, given h of all neurons of site number `index` among its sites: by whichever rule, and the
 * moments. Plain, and so slow where k is large; and it emits a block a token. */
static inline void txray_record(const txray_encode_request *request, size_t index, size_t token, const float *h,
                                size_t width) {
    const txray_site_request *site = &request->sites.ptr[index];
    uint32_t number = (uint32_t)token, neurons[64], tokens[64];
    float activations[64];
    size_t rank, n, held = 0, last = width;
    for (rank = 0; rank < site->k && site->rule == TXRAY_RULE_TOP; rank++) {
        /* The first of those that come after the last one. */
        size_t best = width;
        for (n = 0; n < width; n++) {
            if (last < width && !txray_comes_before(site->sign, h, last, n)) continue;
            if (best == width || txray_comes_before(site->sign, h, n, best)) best = n;
        }
        if (best == width) best = 0; /* a value is no number: the host tells */
        site->neurons.ptr[token * site->k + rank] = (uint32_t)best;
        site->activations.ptr[token * site->k + rank] = h[best];
        last = best;
    }
    for (n = 0; n < width && site->rule != TXRAY_RULE_TOP; n++) {
        if (site->rule == TXRAY_RULE_ALL || txray_strength(site->sign, h[n]) > site->threshold) {
            tokens[held] = number, neurons[held] = (uint32_t)n, activations[held] = h[n];
            held++;
        }
        if (held == 64 || (held > 0 && n + 1 == width)) {
            txray_block block;
            block.request = (uint32_t)index, block.reserved = 0;
            block.token.ptr = tokens, block.neuron.ptr = neurons, block.activation.ptr = activations;
            block.token.len = block.neuron.len = block.activation.len = held;
            request->emit(request->context, &block);
            held = 0;
        }
    }
    for (n = 0; n < site->sum.len; n++) {
        double value = h[n];
        txray_sum_add(&site->sum.ptr[n], value);
        txray_sum_add(&site->sum_abs.ptr[n], value < 0 ? -value : value);
        txray_sum_add(&site->sum_sq.ptr[n], value * value);
    }
}

#ifdef __cplusplus
}
#endif

#endif
