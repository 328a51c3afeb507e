//! The C tables of models.
//!
//! In these functions, too, the host passes a model, a valid host, and arguments that are valid for the call.

use std::ffi::c_void;
use std::path::Path;

use txray_abi as abi;
use txray_abi::{Slice, SliceMut, Status, Str};

use super::{EmitJson, PluginSet, call, catch, component, component_mut, create, destroy, emit_json, given, text};
use crate::{
    Block, Carry, Encode, EncodeRequest, Error, Examples, Mask, Model, Opaque, Predict, PredictRequest, Result, Rule,
    Sign, SiteRequest, Task, Text, Train, TrainRequest,
};

/// The table of the base.
pub(super) const fn table<S: PluginSet>() -> abi::ModelTable {
    abi::ModelTable {
        size: size_of::<abi::ModelTable>(),
        create: create::<S, dyn Model>,
        destroy: destroy::<dyn Model>,
        revision: abi::MODEL_REVISION,
        ability,
        capabilities,
        describe,
        initialize,
        load,
        save,
    }
}

unsafe extern "C" fn ability(model: *const c_void, name: Str) -> *const c_void {
    static ENCODE: abi::EncodeTable = abi::EncodeTable { size: size_of::<abi::EncodeTable>(), encode };
    static PREDICT: abi::PredictTable = abi::PredictTable { size: size_of::<abi::PredictTable>(), predict };
    static TRAIN: abi::TrainTable =
        abi::TrainTable { size: size_of::<abi::TrainTable>(), begin, step, save_session, end };
    static CARRY: abi::CarryTable = abi::CarryTable { size: size_of::<abi::CarryTable>(), make, end };
    static EXTEND: abi::ExtendTable = abi::ExtendTable { size: size_of::<abi::ExtendTable>(), extend };
    // SAFETY: see above.
    let (model, name) = unsafe { (component::<dyn Model>(model), name.get_text()) };
    let table = catch(|| match name {
        Some(abi::ENCODE) => model.as_encode().map(|_| std::ptr::from_ref(&ENCODE).cast()),
        Some(abi::PREDICT) => model.as_predict().map(|_| std::ptr::from_ref(&PREDICT).cast()),
        Some(abi::TRAIN) => model.as_train().map(|_| std::ptr::from_ref(&TRAIN).cast()),
        Some(abi::CARRY) => model.as_carry().map(|_| std::ptr::from_ref(&CARRY).cast()),
        Some(abi::EXTEND) => model.extends().then_some(std::ptr::from_ref(&EXTEND).cast()),
        _ => None,
    });
    table.ok().flatten().unwrap_or(std::ptr::null())
}

unsafe extern "C" fn capabilities(
    model: *const c_void,
    host: *const abi::Host,
    emit: EmitJson,
    context: *mut c_void,
) -> Status {
    // SAFETY: see above.
    unsafe { call(host, |_| emit_json(&component::<dyn Model>(model).capabilities(), emit, context)) }
}

unsafe extern "C" fn describe(
    model: *const c_void,
    host: *const abi::Host,
    emit: EmitJson,
    context: *mut c_void,
) -> Status {
    // SAFETY: see above.
    unsafe { call(host, |_| emit_json(&component::<dyn Model>(model).describe()?, emit, context)) }
}

unsafe extern "C" fn initialize(model: *mut c_void, host: *const abi::Host, vocabulary: u64, seed: u64) -> Status {
    // SAFETY: see above.
    unsafe { call(host, |host| component_mut::<dyn Model>(model).initialize(host, vocabulary as usize, seed)) }
}

unsafe extern "C" fn load(model: *mut c_void, host: *const abi::Host, directory: Str) -> Status {
    // SAFETY: see above.
    unsafe { call(host, |host| component_mut::<dyn Model>(model).load(host, Path::new(text(directory)?))) }
}

unsafe extern "C" fn save(model: *const c_void, host: *const abi::Host, directory: Str) -> Status {
    // SAFETY: see above.
    unsafe { call(host, |host| component::<dyn Model>(model).save(host, Path::new(text(directory)?))) }
}

fn lacks(ability: &str) -> Error {
    Error::failed(format!("the host called {ability}, which this model does not have"))
}

fn given_wrongly(what: &str) -> Error {
    Error::failed(format!("the host gave {what}"))
}

/// Text as it was given: what it is read for holds it to the vocabulary.
///
/// # Safety
/// It must be valid for `'a`.
unsafe fn ragged<'a>(text: abi::Text) -> Text<'a> {
    // SAFETY: the caller's promise.
    unsafe { Text { ids: text.ids.get(), offsets: text.offsets.get() } }
}

/// # Safety
/// As of [`ragged`].
unsafe fn examples<'a>(examples: abi::Examples) -> Examples<'a> {
    // SAFETY: the caller's promise.
    unsafe { Examples { text: ragged(examples.text), targets: examples.targets.get() } }
}

/// # Safety
/// They must be valid for `'a`.
unsafe fn masks<'a>(masks: Slice<abi::Mask>) -> Vec<Mask<'a>> {
    // SAFETY: the caller's promise.
    unsafe { masks.get().iter().map(|mask| Mask { site: mask.site as usize, values: mask.values.get() }).collect() }
}

/// A place for an output that may not be asked for.
///
/// # Safety
/// As of [`SliceMut::get`].
unsafe fn asked<'a, T>(values: SliceMut<T>) -> Option<&'a mut [T]> {
    // SAFETY: the caller's promise.
    (values.len > 0).then(|| unsafe { values.get() })
}

/// The state that is carried, if there is one.
///
/// # Safety
/// `state` must be null or come from [`make`], and nobody else reach it during `'a`.
unsafe fn carried<'a>(state: *mut c_void) -> Option<&'a mut Opaque> {
    // SAFETY: the caller's promise.
    unsafe { state.cast::<Opaque>().as_mut() }
}

fn task(number: u32) -> Result<Task> {
    match number {
        abi::TASK_LANGUAGE_MODEL => Ok(Task::LanguageModel),
        abi::TASK_CLASSIFICATION => Ok(Task::Classification),
        abi::TASK_TAGGING => Ok(Task::Tagging),
        _ => Err(given_wrongly("a task that is not known here")),
    }
}

fn sign(number: u32) -> Result<Sign> {
    match number {
        abi::SIGN_POSITIVE => Ok(Sign::Positive),
        abi::SIGN_NEGATIVE => Ok(Sign::Negative),
        abi::SIGN_ABSOLUTE => Ok(Sign::Absolute),
        _ => Err(given_wrongly("a sign that is not known here")),
    }
}

unsafe extern "C" fn encode(
    model: *const c_void,
    host: *const abi::Host,
    request: *const abi::EncodeRequest,
) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let model = component::<dyn Model>(model);
            let ability: &dyn Encode = model.as_encode().ok_or_else(|| lacks(abi::ENCODE))?;
            let given = given(request)?;
            let mut sites = Vec::new();
            for raw in given.sites.get() {
                let raw = std::ptr::read(raw);
                sites.push(SiteRequest {
                    site: raw.site as usize,
                    rule: match raw.rule {
                        abi::RULE_TOP => Rule::Top {
                            k: raw.k as usize,
                            neurons: raw.neurons.get(),
                            activations: raw.activations.get(),
                        },
                        abi::RULE_ABOVE => Rule::Above(raw.threshold),
                        abi::RULE_ALL => Rule::All,
                        _ => return Err(given_wrongly("a record rule that is not known here")),
                    },
                    sign: sign(raw.sign)?,
                    sum: raw.sum.get(),
                    sum_abs: raw.sum_abs.get(),
                    sum_sq: raw.sum_sq.get(),
                });
            }
            let to = Emission { emit: given.emit, context: given.context };
            let masks = masks(given.masks);
            let mut request = EncodeRequest {
                text: ragged(given.text),
                state: carried(given.state),
                masks: &masks,
                sites,
                predictions: asked(given.predictions).map(|of| Ok((task(given.task)?, of))).transpose()?,
                emit: &|block| to.send(block),
            };
            request.fit(&model.capabilities(), &model.describe()?).map_err(|what| given_wrongly(&what))?;
            ability.encode(host, &mut request)
        })
    }
}

/// Where the host wants its blocks.
struct Emission {
    emit: unsafe extern "C" fn(context: *mut c_void, block: *const abi::Block),
    context: *mut c_void,
}

// SAFETY: the boundary promises that `emit` may be called from any thread.
unsafe impl Sync for Emission {}

impl Emission {
    fn send(&self, block: &Block<'_>) {
        let raw = abi::Block {
            request: block.request as u32,
            reserved: 0,
            token: Slice::new(block.token),
            neuron: Slice::new(block.neuron),
            activation: Slice::new(block.activation),
        };
        // SAFETY: function and context are the host's, for the call that is under way; the block lives for this one.
        unsafe { (self.emit)(self.context, &raw const raw) }
    }
}

unsafe extern "C" fn predict(
    model: *const c_void,
    host: *const abi::Host,
    request: *const abi::PredictRequest,
) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let model = component::<dyn Model>(model);
            let ability: &dyn Predict = model.as_predict().ok_or_else(|| lacks(abi::PREDICT))?;
            let given = given(request)?;
            let masks = masks(given.masks);
            let mut request = PredictRequest {
                task: task(given.task)?,
                examples: examples(given.examples),
                state: carried(given.state),
                masks: &masks,
                losses: given.losses.get(),
                counts: given.counts.get(),
                token_losses: asked(given.token_losses),
                predicted: asked(given.predicted),
                probabilities: asked(given.probabilities),
            };
            request.fit(&model.capabilities(), &model.describe()?).map_err(|what| given_wrongly(&what))?;
            ability.predict(host, &mut request)
        })
    }
}

unsafe fn trained<'a>(model: *mut c_void) -> Result<&'a mut dyn Train> {
    // SAFETY: the caller's promise.
    unsafe { component_mut::<dyn Model>(model).as_train_mut().ok_or_else(|| lacks(abi::TRAIN)) }
}

unsafe extern "C" fn begin(
    model: *mut c_void,
    host: *const abi::Host,
    request: *const abi::TrainRequest,
    from: Str,
    out: *mut *mut c_void,
) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let given = given(request)?;
            let valid = examples(given.valid);
            let request = TrainRequest {
                task: task(given.task)?,
                classes: given.classes as usize,
                train: examples(given.train),
                valid: (!valid.text.is_empty()).then_some(valid),
                seed: given.seed,
            };
            for examples in [Some(request.train), request.valid].into_iter().flatten() {
                // Where the weights come from elsewhere, the vocabulary is not known yet: the model holds the ids to it.
                let fits = examples.fit(request.task, request.classes, usize::MAX);
                fits.map_err(|what| given_wrongly(&what))?;
            }
            let from = Some(text(from)?).filter(|from| !from.is_empty()).map(Path::new);
            let session = trained(model)?.begin(host, &request, from)?;
            *out = Box::into_raw(Box::new(session)).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn step(
    model: *mut c_void,
    session: *mut c_void,
    host: *const abi::Host,
    pause: f64,
    out: *mut abi::TrainReport,
) -> Status {
    // SAFETY: see above; the session is from `begin`.
    unsafe {
        call(host, |host| {
            let session = &mut *session.cast::<Opaque>();
            let report = trained(model)?.step(host, session, Some(pause).filter(|pause| pause.is_finite()))?;
            let told = abi::TrainReport {
                size: size_of::<abi::TrainReport>(),
                epoch: report.epoch,
                tokens: report.tokens,
                loss: report.loss,
                valid_loss: report.valid_loss.unwrap_or(f64::NAN),
                seconds: report.seconds,
                done: report.done.into(),
                paused: report.paused.into(),
            };
            abi::write(out, told).map_err(|size| given_wrongly(&format!("a report of {size} bytes")))?;
            Ok(())
        })
    }
}

unsafe extern "C" fn save_session(
    model: *const c_void,
    session: *const c_void,
    host: *const abi::Host,
    directory: Str,
) -> Status {
    // SAFETY: see above; the session is from `begin`.
    unsafe {
        call(host, |host| {
            let ability = component::<dyn Model>(model).as_train().ok_or_else(|| lacks(abi::TRAIN))?;
            ability.save_session(host, &*session.cast::<Opaque>(), Path::new(text(directory)?))
        })
    }
}

unsafe extern "C" fn make(
    model: *const c_void,
    host: *const abi::Host,
    from: *const c_void,
    out: *mut *mut c_void,
) -> Status {
    // SAFETY: see above; `from` is null or from this function.
    unsafe {
        call(host, |host| {
            let ability: &dyn Carry = component::<dyn Model>(model).as_carry().ok_or_else(|| lacks(abi::CARRY))?;
            let state = ability.state(host, from.cast::<Opaque>().as_ref())?;
            *out = Box::into_raw(Box::new(state)).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn extend(model: *mut c_void, host: *const abi::Host, vocabulary: u64, like: u32) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let ability = component_mut::<dyn Model>(model).as_extend().ok_or_else(|| lacks(abi::EXTEND))?;
            ability.extend(host, vocabulary as usize, like)
        })
    }
}

/// Ends a state or a session.
unsafe extern "C" fn end(of: *mut c_void) {
    // SAFETY: the host passes what `state` or `begin` gave, once.
    let of = unsafe { Box::from_raw(of.cast::<Opaque>()) };
    // There is nobody to tell of a panic in a destructor.
    let _ = catch(|| drop(of));
}
