//! Models: a base that every model has, and abilities that it may have, each a table asked for by name from a created component.

use core::ffi::c_void;

use crate::{Create, Destroy, ExactSum, Host, Slice, SliceMut, Status, Str};

/// Models: [`ModelTable`]. Unstable while its version is 0.
pub const MODEL: &str = "txray.model/0";
/// Grows with each change of [`MODEL`] or of an ability while these are unstable; must be equal in host and plugin.
pub const MODEL_REVISION: usize = 2;

/// Reading documents: [`EncodeTable`].
pub const ENCODE: &str = "txray.model.encode/0";
/// Losses and outputs: [`PredictTable`].
pub const PREDICT: &str = "txray.model.predict/0";
/// Training: [`TrainTable`].
pub const TRAIN: &str = "txray.model.train/0";
/// A recurrent state that is carried from text to text: [`CarryTable`].
pub const CARRY: &str = "txray.model.carry/0";
/// A vocabulary that grows: [`ExtendTable`].
pub const EXTEND: &str = "txray.model.extend/0";
/// Reserved: masks made physical, and views of the weights of each neuron.
pub const SURGERY: &str = "txray.model.surgery/0";
/// Reserved: the importance of each neuron for a task, of first order.
pub const GRADIENT: &str = "txray.model.gradient/0";

/// Of each token the `k` strongest neurons.
pub const RULE_TOP: u32 = 1;
/// Of each token the neurons whose strength is above a threshold.
pub const RULE_ABOVE: u32 = 2;
/// Of each token every neuron.
pub const RULE_ALL: u32 = 3;

/// The strength of a neuron is h.
pub const SIGN_POSITIVE: u32 = 0;
/// It is -h.
pub const SIGN_NEGATIVE: u32 = 1;
/// It is |h|.
pub const SIGN_ABSOLUTE: u32 = 2;

/// To predict the next token. No targets are given: they are the tokens.
pub const TASK_LANGUAGE_MODEL: u32 = 1;
/// To predict a label a document.
pub const TASK_CLASSIFICATION: u32 = 2;
/// To predict a label a token.
pub const TASK_TAGGING: u32 = 3;

/// `txray.model/0`, the base: unstable.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ModelTable {
    /// `sizeof(ModelTable)` of the plugin.
    pub size: usize,
    /// Makes a model without weights. Options are the model's table in the pipeline, less the engine's
    /// own keys.
    pub create: Create,
    /// See [`Destroy`]. States and sessions of the model have ended before.
    pub destroy: Destroy,
    /// [`MODEL_REVISION`] of the plugin. It stands here in every revision.
    pub revision: usize,
    /// The table of an ability, or null where this model does not have it. Known before it has weights, always the same, and
    /// valid as long as the process lives.
    pub ability: unsafe extern "C" fn(model: *const c_void, name: Str) -> *const c_void,
    /// Says in JSON what it can be asked for, before it has weights too, through `emit`: `{"tasks": ["language-model"],
    /// "rules": ["top", "above", "all"], "masks": true, "predictions": true}`.
    pub capabilities: unsafe extern "C" fn(
        model: *const c_void,
        host: *const Host,
        emit: unsafe extern "C" fn(context: *mut c_void, json: Str),
        context: *mut c_void,
    ) -> Status,
    /// Says in JSON what it is once it has weights, through `emit`: `{"sites": [{"name", "width"}], "vocabulary",
    /// "parameters", "heads": [{"task", "classes"}], "unmaskable", "lacks": [{"ability", "why"}],
    /// "longest_context", "trained_state"}`.
    pub describe: unsafe extern "C" fn(
        model: *const c_void,
        host: *const Host,
        emit: unsafe extern "C" fn(context: *mut c_void, json: Str),
        context: *mut c_void,
    ) -> Status,
    /// Draws new weights from the seed; the same seed gives the same weights.
    pub initialize: unsafe extern "C" fn(model: *mut c_void, host: *const Host, vocabulary: u64, seed: u64) -> Status,
    /// Reads its weights from a checkpoint directory.
    pub load: unsafe extern "C" fn(model: *mut c_void, host: *const Host, directory: Str) -> Status,
    /// Writes a checkpoint into a directory that exists.
    pub save: unsafe extern "C" fn(model: *const c_void, host: *const Host, directory: Str) -> Status,
}

/// `txray.model.encode/0`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EncodeTable {
    /// `sizeof(EncodeTable)` of the plugin.
    pub size: usize,
    /// Reads documents and reduces their activations.
    pub encode: unsafe extern "C" fn(model: *const c_void, host: *const Host, request: *const EncodeRequest) -> Status,
}

/// `txray.model.predict/0`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PredictTable {
    /// `sizeof(PredictTable)` of the plugin.
    pub size: usize,
    /// Losses of documents, and what is asked of the outputs.
    pub predict:
        unsafe extern "C" fn(model: *const c_void, host: *const Host, request: *const PredictRequest) -> Status,
}

/// `txray.model.train/0`: sessions. A model has one at a time, and while it has, its weights change by the session's steps alone;
/// functions that take the model as `*const` may be called between them. A session is in one call at a time, whatever is `const`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TrainTable {
    /// `sizeof(TrainTable)` of the plugin.
    pub size: usize,
    /// Begins a session, and writes it to `out`: any pointer but null. `from` is empty: training begins with the weights that
    /// the model has. Else it is a directory that `save_session` wrote, of a model with the same options and the same request:
    /// the weights come from there, and training goes on; that ids are below their vocabulary, is then the plugin's to hold.
    /// What is to be kept of the request, is copied. Where it fails, the model is as it was.
    pub begin: unsafe extern "C" fn(
        model: *mut c_void,
        host: *const Host,
        request: *const TrainRequest,
        from: Str,
        out: *mut *mut c_void,
    ) -> Status,
    /// Trains to the end of the next epoch, or until `pause` seconds are over, after at least one optimizer step unless all of
    /// the epoch are made; infinity: never. Not called again once `done`.
    pub step: unsafe extern "C" fn(
        model: *mut c_void,
        session: *mut c_void,
        host: *const Host,
        pause: f64,
        out: *mut TrainReport,
    ) -> Status,
    /// Writes all that training goes on from into a directory that exists: the weights, and where it stands.
    pub save_session:
        unsafe extern "C" fn(model: *const c_void, session: *const c_void, host: *const Host, directory: Str) -> Status,
    /// Ends a session, once, before its model; `const` calls on that may be under way.
    pub end: unsafe extern "C" fn(session: *mut c_void),
}

/// `txray.model.carry/0`: states of a model that go from text to text. Where they lie is the plugin's affair. A state is of the
/// weights that the model has when it is made: it lives on through a session's steps, and may only be ended once others are drawn
/// or loaded. It is in one call at a time, whatever is `const`; after a call that failed it may only be ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CarryTable {
    /// `sizeof(CarryTable)` of the plugin.
    pub size: usize,
    /// Makes a state, and writes it to `out`: any pointer but null. `from` is null: one that has read nothing; else a copy of
    /// that state.
    pub make: unsafe extern "C" fn(
        model: *const c_void,
        host: *const Host,
        from: *const c_void,
        out: *mut *mut c_void,
    ) -> Status,
    /// Ends a state, once, before its model; other calls on that may be under way.
    pub end: unsafe extern "C" fn(state: *mut c_void),
}

/// `txray.model.extend/0`: a model whose vocabulary can grow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExtendTable {
    /// `sizeof(ExtendTable)` of the plugin.
    pub size: usize,
    /// Makes the vocabulary `vocabulary` tokens long, which is no fewer than it has. What is computed of the others does not change, but
    /// that what a language model expects of the token `like`, one of theirs, is shared among it and the new ones, which begin as it.
    /// Where it fails, the model is as it was.
    pub extend: unsafe extern "C" fn(model: *mut c_void, host: *const Host, vocabulary: u64, like: u32) -> Status,
}

/// Ragged documents.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// `[tokens]` token ids.
    pub ids: Slice<u32>,
    /// `[documents + 1]` offsets into `ids`.
    pub offsets: Slice<u64>,
}

/// Documents with what is to be predicted of them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Examples {
    /// Token ids below the model's vocabulary.
    pub text: Text,
    /// `[documents]` or `[tokens]` classes, by the task, [`NULL`](crate::NULL) where there is none; empty for language models.
    pub targets: Slice<u32>,
}

/// What the neurons of a site are held to, at every step: a model that is masked so computes as if they had these values. It
/// holds what a step gives: a state that is carried in is taken as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    /// Index into the model's sites, those apart that are `unmaskable`; no two masks of a request have the same.
    pub site: u32,
    /// Padding, 0.
    pub reserved: u32,
    /// `[width]`: the value of a neuron, finite; NaN: it is left as it is.
    pub values: Slice<f32>,
}

/// Which documents to read, and what to keep of each site.
#[repr(C)]
#[derive(Debug)]
pub struct EncodeRequest {
    /// `sizeof(EncodeRequest)` of the host.
    pub size: usize,
    /// Token ids below the model's vocabulary.
    pub text: Text,
    /// Null: a state is cleared at every document's start. Else one of [`CarryTable::make`]: the documents are one stream, and
    /// it is carried in and out.
    pub state: *mut c_void,
    /// Under which neurons are held to values.
    pub masks: Slice<Mask>,
    /// What to read at each site.
    pub sites: Slice<SiteRequest>,
    /// The task of `predictions`, one of the model's heads; 0 where these are empty.
    pub task: u32,
    /// Padding, 0.
    pub reserved: u32,
    /// `[tokens]`, or empty: the class that the model itself predicts by that task once it has read a token; of a language model
    /// the token that it holds most probable to follow.
    pub predictions: SliceMut<u32>,
    /// Is handed what [`RULE_ABOVE`] and [`RULE_ALL`] keep, in blocks. May be called from many threads at once. The block is
    /// borrowed for that call. What was emitted before a failure counts for nothing.
    pub emit: unsafe extern "C" fn(context: *mut c_void, block: *const Block),
    /// First argument of `emit`.
    pub context: *mut c_void,
}

/// What to keep of one site, by a record rule; and over all tokens the moments: what is added to them for a document depends on
/// that document alone (and on the state that was carried into it), bit for bit.
#[repr(C)]
#[derive(Debug)]
pub struct SiteRequest {
    /// Index into the model's sites.
    pub site: u32,
    /// [`RULE_TOP`], [`RULE_ABOVE`] or [`RULE_ALL`].
    pub rule: u32,
    /// What the strength of a neuron is: [`SIGN_POSITIVE`], [`SIGN_NEGATIVE`] or [`SIGN_ABSOLUTE`].
    pub sign: u32,
    /// Of [`RULE_TOP`]: neurons kept for each token, in falling order of their strength, ties by the lower index. Else 0.
    pub k: u32,
    /// Of [`RULE_ABOVE`]: what the strength is above, a number. Else 0.
    pub threshold: f32,
    /// Padding, 0.
    pub reserved: u32,
    /// `[tokens, k]` indices.
    pub neurons: SliceMut<u32>,
    /// `[tokens, k]` values of h.
    pub activations: SliceMut<f32>,
    /// `[width]`: the sum of h over all tokens is added to it. Empty, as all three are then: nobody asks.
    pub sum: SliceMut<ExactSum>,
    /// `[width]`: the sum of |h| is added to it.
    pub sum_abs: SliceMut<ExactSum>,
    /// `[width]`: the sum of h² is added to it.
    pub sum_sq: SliceMut<ExactSum>,
}

/// Observations of one site. Those of one document come in the order of its tokens, and of one token in the order of neurons;
/// documents come in any order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Index into the sites of the request.
    pub request: u32,
    /// Padding, 0.
    pub reserved: u32,
    /// `[observations]` index of the token in the text.
    pub token: Slice<u32>,
    /// `[observations]` its neuron.
    pub neuron: Slice<u32>,
    /// `[observations]` its h.
    pub activation: Slice<f32>,
}

/// Which documents to predict, and what is asked of the outputs.
#[repr(C)]
#[derive(Debug)]
pub struct PredictRequest {
    /// `sizeof(PredictRequest)` of the host.
    pub size: usize,
    /// That of one of the model's heads: [`TASK_LANGUAGE_MODEL`], [`TASK_CLASSIFICATION`] or [`TASK_TAGGING`].
    pub task: u32,
    /// Padding, 0.
    pub reserved: u32,
    /// The documents, and what is right.
    pub examples: Examples,
    /// As in [`EncodeRequest::state`]. A language model predicts the first token of a document from the one before it only
    /// where there is a state, and that has read something.
    pub state: *mut c_void,
    /// Under which neurons are held to values.
    pub masks: Slice<Mask>,
    /// `[documents]`: the loss of each, nats, summed over what was predicted of it.
    pub losses: SliceMut<f64>,
    /// `[documents]`: how much that was: tokens, or 1 a document that has a label.
    pub counts: SliceMut<u64>,
    /// `[tokens]`, or empty: the loss of each token, nats; NaN where it was not predicted.
    pub token_losses: SliceMut<f32>,
    /// `[documents]` or `[tokens]`, or empty: the most probable class. Not for language models.
    pub predicted: SliceMut<u32>,
    /// `[documents, classes]` or `[tokens, classes]` probabilities, or empty. Not for language models.
    pub probabilities: SliceMut<f32>,
}

/// What to train for, and on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TrainRequest {
    /// `sizeof(TrainRequest)` of the host.
    pub size: usize,
    /// One of the model's tasks.
    pub task: u32,
    /// How many classes there are; 0 for language models.
    pub classes: u32,
    /// To train on.
    pub train: Examples,
    /// Predicted at the end of each epoch; may be empty.
    pub valid: Examples,
    /// Seed of everything random.
    pub seed: u64,
}

/// Where training stands. The plugin writes as far as the host's size reaches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TrainReport {
    /// `sizeof(TrainReport)` of the host, which the plugin leaves as it is.
    pub size: usize,
    /// Epochs completed.
    pub epoch: u64,
    /// Tokens trained on since the beginning.
    pub tokens: u64,
    /// Mean training loss of the epoch, nats; of what it has read so far where training is paused.
    pub loss: f64,
    /// Mean validation loss, nats; NaN without validation, or where training is paused.
    pub valid_loss: f64,
    /// Seconds of optimizer steps in this call.
    pub seconds: f64,
    /// Not 0 once every epoch is completed.
    pub done: u32,
    /// Not 0 where the epoch is not at its end: call again to go on.
    pub paused: u32,
}
