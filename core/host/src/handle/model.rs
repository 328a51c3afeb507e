//! Models behind their C tables: the base, and a table an ability.

use std::ffi::c_void;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use txray_plugin::abi::{self, Slice, SliceMut, Str};
use txray_plugin::guard::catch;
use txray_plugin::{
    Block, Capabilities, Carry, Emit, Encode, EncodeRequest, Error, Examples, Extend, Host, Mask, Model,
    ModelDescription, Opaque, Predict, PredictRequest, Result, Rule, Sign, Task, Text, Train, TrainReport,
    TrainRequest,
};

use super::{Functions, Handle, Owned, functions, utf8, values};
use crate::bounds;

/// A model, and the abilities that it has.
pub(crate) struct ModelHandle {
    base: Handle<abi::ModelTable>,
    capabilities: Capabilities,
    /// Asked for once a change of the weights.
    description: Mutex<Option<Arc<ModelDescription>>>,
    /// Counts the changes after which a state is of no use.
    generation: u64,
    encode: Option<abi::EncodeTable>,
    predict: Option<abi::PredictTable>,
    train: Option<abi::TrainTable>,
    carry: Option<abi::CarryTable>,
    extend: Option<abi::ExtendTable>,
}

// SAFETY: by its definition in `txray-abi`.
unsafe impl Functions for abi::EncodeTable {}
// SAFETY: as above.
unsafe impl Functions for abi::PredictTable {}
// SAFETY: as above.
unsafe impl Functions for abi::TrainTable {}
// SAFETY: as above.
unsafe impl Functions for abi::CarryTable {}
// SAFETY: as above.
unsafe impl Functions for abi::ExtendTable {}

impl ModelHandle {
    /// Asks a model for its abilities.
    pub(crate) fn new(base: Handle<abi::ModelTable>) -> Result<Self> {
        Ok(Self {
            encode: ability(&base, abi::ENCODE)?,
            predict: ability(&base, abi::PREDICT)?,
            train: ability(&base, abi::TRAIN)?,
            carry: ability(&base, abi::CARRY)?,
            extend: ability(&base, abi::EXTEND)?,
            capabilities: base.describe(&"capabilities", base.table.capabilities, bounds::capabilities)?,
            description: Mutex::default(),
            generation: 0,
            base,
        })
    }

    fn lacks(&self, what: &str) -> Error {
        self.base.fault(&format!("it has no ability {what}"))
    }

    /// What a plugin made of this very model: of another, it would not know what it is.
    fn own<'a>(&self, owned: &'a Owned) -> Result<&'a Owned> {
        match owned.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &self.base.component)) {
            true => Ok(owned),
            false => Err(self.base.fault("a state or a session of another model was given to it")),
        }
    }

    fn session(&self, session: &Opaque) -> Result<*mut c_void> {
        Ok(self.own(&session.get::<Session>()?.owned)?.pointer)
    }

    fn state(&self, state: &Opaque) -> Result<*mut c_void> {
        let state: &State = state.get()?;
        let owned = self.own(&state.owned)?;
        match state.generation == self.generation {
            true => Ok(owned.pointer),
            false => Err(self.base.fault("a state of other weights was given to it")),
        }
    }

    /// As a call takes it: null where there is none.
    fn carried(&self, state: Option<&mut &mut Opaque>) -> Result<*mut c_void> {
        state.map_or(Ok(std::ptr::null_mut()), |state| self.state(state))
    }

    fn described(&self) -> Result<Arc<ModelDescription>> {
        let mut kept = self.description.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(description) = &*kept {
            return Ok(Arc::clone(description));
        }
        let described: ModelDescription = self.base.describe(&"describe", self.base.table.describe, bounds::model)?;
        Ok(Arc::clone(kept.insert(Arc::new(described))))
    }

    /// The weights are about to be others.
    fn change(&mut self) -> &Handle<abi::ModelTable> {
        self.forget();
        self.generation += 1;
        &self.base
    }

    /// What it says of itself is about to be something else.
    fn forget(&mut self) {
        *self.description.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What it was asked for and cannot give: a fault of whoever asks.
    fn beyond(&self, what: &str) -> Error {
        self.base.fault(&format!("it was given {what}"))
    }
}

/// A state, kept by whoever carries it.
struct State {
    owned: Arc<Owned>,
    generation: u64,
}

/// A session, kept by whoever trains.
struct Session {
    owned: Arc<Owned>,
    /// How many epochs and tokens the last report told.
    told: Option<(u64, u64)>,
}

/// No neuron: what outputs hold before a call.
const UNWRITTEN: u32 = u32::MAX;

/// The table of an ability, if the model has it.
fn ability<T: Functions>(base: &Handle<abi::ModelTable>, name: &str) -> Result<Option<T>> {
    let model = base.component();
    let ask = || {
        // SAFETY: the component is this table's, and the name lives for the call.
        let table = unsafe { (base.table.ability)(model, Str::text(name)) };
        // SAFETY: what `ability` gives lives as long as the process.
        unsafe { functions(table, name) }
    };
    super::calls::marked(base.caller.plugin, &"ability", ask).map_err(|what| base.fault(&what))
}

fn text(text: Text<'_>) -> abi::Text {
    abi::Text { ids: Slice::new(text.ids), offsets: Slice::new(text.offsets) }
}

fn examples(examples: Examples<'_>) -> abi::Examples {
    abi::Examples { text: text(examples.text), targets: Slice::new(examples.targets) }
}

fn masks(masks: &[Mask<'_>]) -> Vec<abi::Mask> {
    masks
        .iter()
        .map(|mask| abi::Mask { site: number(mask.site), reserved: 0, values: Slice::new(mask.values) })
        .collect()
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn task(task: Task) -> u32 {
    match task {
        Task::LanguageModel => abi::TASK_LANGUAGE_MODEL,
        Task::Classification => abi::TASK_CLASSIFICATION,
        Task::Tagging => abi::TASK_TAGGING,
    }
}

fn sign(sign: Sign) -> u32 {
    match sign {
        Sign::Positive => abi::SIGN_POSITIVE,
        Sign::Negative => abi::SIGN_NEGATIVE,
        Sign::Absolute => abi::SIGN_ABSOLUTE,
    }
}

fn asked<T>(values: &mut Option<&mut [T]>) -> SliceMut<T> {
    SliceMut::new(values.as_deref_mut().unwrap_or_default())
}

impl Model for ModelHandle {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn describe(&self) -> Result<ModelDescription> {
        Ok(ModelDescription::clone(&*self.described()?))
    }

    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        let base = self.change();
        let (model, table) = (base.component(), &base.table);
        // SAFETY: the component is this table's, and every argument lives for the call.
        base.call(host, &"initialize", |host| unsafe { (table.initialize)(model, host, vocabulary as u64, seed) })
    }

    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let base = self.change();
        let (model, table, directory) = (base.component(), &base.table, Str::text(utf8(directory)?));
        // SAFETY: the component is this table's, and every argument lives for the call.
        base.call(host, &"load", |host| unsafe { (table.load)(model, host, directory) })
    }

    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let (model, table, directory) = (self.base.component(), &self.base.table, Str::text(utf8(directory)?));
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.base.call(host, &"save", |host| unsafe { (table.save)(model, host, directory) })
    }

    fn as_encode(&self) -> Option<&dyn Encode> {
        self.encode.is_some().then_some(self)
    }
    fn as_predict(&self) -> Option<&dyn Predict> {
        self.predict.is_some().then_some(self)
    }
    fn as_train(&self) -> Option<&dyn Train> {
        self.train.is_some().then_some(self)
    }
    fn as_train_mut(&mut self) -> Option<&mut dyn Train> {
        self.train.is_some().then_some(self)
    }
    fn as_carry(&self) -> Option<&dyn Carry> {
        self.carry.is_some().then_some(self)
    }
    fn as_extend(&mut self) -> Option<&mut dyn Extend> {
        self.extend.is_some().then_some(self)
    }
    fn extends(&self) -> bool {
        self.extend.is_some()
    }
}

/// Takes blocks of observations from a plugin, and holds them to the request.
struct Receiver<'a> {
    tokens: usize,
    /// `[sites]`: the width of those that are emitted in blocks; none: they are not.
    widths: Vec<Option<usize>>,
    emit: &'a Emit<'a>,
    fault: Mutex<Option<String>>,
}

unsafe extern "C" fn receive(context: *mut c_void, block: *const abi::Block) {
    // SAFETY: plugins pass the context of the running call.
    let receiver = unsafe { &*context.cast::<Receiver<'_>>() };
    let taken = match !block.is_null() && block.is_aligned() {
        // SAFETY: it lives for this call.
        true => catch(|| unsafe { receiver.take(&*block) }).unwrap_or_else(Err),
        false => Err("it emitted a block at a null or misaligned pointer".to_owned()),
    };
    if let Err(what) = taken {
        receiver.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }
}

impl Receiver<'_> {
    /// # Safety
    /// The block must live for the call.
    unsafe fn take(&self, block: &abi::Block) -> Result<(), String> {
        let request = block.request as usize;
        let Some(width) = self.widths.get(request).copied().flatten() else {
            return Err(format!("it emitted observations of request {request}, which asks for none"));
        };
        // SAFETY: the caller's promise.
        let [token, neuron] = unsafe { [values(block.token)?, values(block.neuron)?] };
        // SAFETY: as above.
        let activation = unsafe { values(block.activation)? };
        if [neuron.len(), activation.len()] != [token.len(); 2] {
            return Err("it emitted columns of different lengths".to_owned());
        }
        if let Some(token) = token.iter().find(|token| **token as usize >= self.tokens) {
            return Err(format!("it emitted an observation of token {token} of {}", self.tokens));
        }
        if let Some(neuron) = neuron.iter().find(|neuron| **neuron as usize >= width) {
            return Err(format!("it emitted an observation of neuron {neuron} of {width}"));
        }
        (self.emit)(&Block { request, token, neuron, activation });
        Ok(())
    }
}

impl Encode for ModelHandle {
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let table = self.encode.as_ref().ok_or_else(|| self.lacks(abi::ENCODE))?;
        let description = self.described()?;
        request.fit(&self.capabilities, &description).map_err(|what| self.beyond(&what))?;
        let state = self.carried(request.state.as_mut())?;
        let masks = masks(request.masks);
        let receiver = Receiver {
            tokens: request.text.ids.len(),
            widths: request
                .sites
                .iter()
                .map(|site| (!matches!(site.rule, Rule::Top { .. })).then(|| description.sites[site.site].width))
                .collect(),
            emit: request.emit,
            fault: Mutex::new(None),
        };
        let sites: Vec<abi::SiteRequest> = request
            .sites
            .iter_mut()
            .map(|site| {
                let (rule, k, threshold, neurons, activations) = match &mut site.rule {
                    Rule::Top { k, neurons, activations } => {
                        // What is not written must not pass for an observation.
                        neurons.fill(UNWRITTEN);
                        (abi::RULE_TOP, number(*k), 0.0, SliceMut::new(neurons), SliceMut::new(activations))
                    }
                    Rule::Above(threshold) => {
                        (abi::RULE_ABOVE, 0, *threshold, SliceMut::new(&mut []), SliceMut::new(&mut []))
                    }
                    Rule::All => (abi::RULE_ALL, 0, 0.0, SliceMut::new(&mut []), SliceMut::new(&mut [])),
                };
                abi::SiteRequest {
                    site: number(site.site),
                    rule,
                    sign: sign(site.sign),
                    k,
                    threshold,
                    reserved: 0,
                    neurons,
                    activations,
                    sum: SliceMut::new(site.sum),
                    sum_abs: SliceMut::new(site.sum_abs),
                    sum_sq: SliceMut::new(site.sum_sq),
                }
            })
            .collect();
        let raw = abi::EncodeRequest {
            size: size_of::<abi::EncodeRequest>(),
            text: text(request.text),
            state,
            masks: Slice::new(&masks),
            sites: Slice::new(&sites),
            task: request.predictions.as_ref().map_or(0, |(of, _)| task(*of)),
            reserved: 0,
            predictions: SliceMut::new(request.predictions.as_mut().map_or(&mut [], |(_, of)| &mut **of)),
            emit: receive,
            context: std::ptr::from_ref(&receiver).cast_mut().cast(),
        };
        let model = self.base.component();
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.base.call(host, &"encode", |host| unsafe { (table.encode)(model, host, &raw const raw) })?;
        if let Some(what) = receiver.fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(self.base.fault(&what));
        }
        self.answers(request, &description)
    }
}

impl ModelHandle {
    /// Holds what was written to the outputs to what can be written there.
    fn answers(&self, request: &EncodeRequest<'_>, description: &ModelDescription) -> Result<()> {
        for site in &request.sites {
            let (neurons, activations): (&[u32], &[f32]) = match &site.rule {
                Rule::Top { neurons, activations, .. } => (neurons, activations),
                Rule::Above(_) | Rule::All => (&[], &[]),
            };
            let width = description.sites[site.site].width;
            if let Some(at) = neurons.iter().position(|&neuron| neuron == UNWRITTEN) {
                let token = at * request.text.ids.len() / neurons.len();
                return Err(self.base.fault(&format!("it left token {token} unwritten at its site {}", site.site)));
            }
            if let Some(neuron) = neurons.iter().find(|&&neuron| neuron as usize >= width) {
                return Err(self.base.fault(&format!("it gave neuron {neuron} of {width} at its site {}", site.site)));
            }
            // An activation that is no number, the engine tells with its document.
            let sums = [&site.sum, &site.sum_abs, &site.sum_sq].into_iter().flat_map(|sums| sums.iter());
            if activations.iter().all(|activation| activation.is_finite())
                && let Some(&sum) = sums.into_iter().find(|sum| !sum.is_sound())
            {
                return Err(self.base.fault(&format!("it gave a sum that is {} at its site {}", sum, site.site)));
            }
        }
        if let Some((task, predictions)) = &request.predictions {
            let classes = description.classes(*task).unwrap_or(0);
            if let Some(class) = predictions.iter().find(|class| **class as usize >= classes) {
                return Err(self.base.fault(&format!("it predicted class {class} of {classes}")));
            }
        }
        Ok(())
    }
}

impl Predict for ModelHandle {
    fn predict(&self, host: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()> {
        let table = self.predict.as_ref().ok_or_else(|| self.lacks(abi::PREDICT))?;
        let description = self.described()?;
        request.fit(&self.capabilities, &description).map_err(|what| self.beyond(&what))?;
        let masks = masks(request.masks);
        let raw = abi::PredictRequest {
            size: size_of::<abi::PredictRequest>(),
            task: task(request.task),
            reserved: 0,
            examples: examples(request.examples),
            state: self.carried(request.state.as_mut())?,
            masks: Slice::new(&masks),
            losses: SliceMut::new(request.losses),
            counts: SliceMut::new(request.counts),
            token_losses: asked(&mut request.token_losses),
            predicted: asked(&mut request.predicted),
            probabilities: asked(&mut request.probabilities),
        };
        let model = self.base.component();
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.base.call(host, &"predict", |host| unsafe { (table.predict)(model, host, &raw const raw) })?;
        let text = request.examples.text;
        for (document, (&count, loss)) in request.counts.iter().zip(&*request.losses).enumerate() {
            let most = text.document(document).len().max(1);
            if count > most as u64 {
                let what = format!("it predicted {count} of {most} tokens of document {document}");
                return Err(self.base.fault(&what));
            }
            if !loss.is_finite() {
                let what = format!("the loss of a document is {loss}: the weights are too large to compute with");
                return Err(Error::invalid(what));
            }
        }
        let classes = number(description.classes(request.task).unwrap_or(0));
        match request.predicted.iter().flat_map(|predicted| predicted.iter()).find(|class| **class >= classes) {
            Some(class) => Err(self.base.fault(&format!("it predicted class {class} of {classes}"))),
            None => Ok(()),
        }
    }
}

impl Train for ModelHandle {
    fn begin(&mut self, host: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque> {
        let table = *self.train.as_ref().ok_or_else(|| self.lacks(abi::TRAIN))?;
        if !self.capabilities.tasks.contains(&request.task) {
            return Err(self.beyond("a task that it does not train for"));
        }
        for examples in [Some(request.train), request.valid].into_iter().flatten() {
            // The weights may come from elsewhere, and their vocabulary is not known then.
            let fits = examples.fit(request.task, request.classes, usize::MAX);
            fits.map_err(|what| self.beyond(&what))?;
        }
        self.forget();
        self.generation += u64::from(from.is_some());
        let from = Str::text(from.map(utf8).transpose()?.unwrap_or_default());
        let raw = abi::TrainRequest {
            size: size_of::<abi::TrainRequest>(),
            task: task(request.task),
            classes: number(request.classes),
            train: examples(request.train),
            valid: examples(request.valid.unwrap_or(Text::EMPTY.into())),
            seed: request.seed,
        };
        let of = Arc::clone(&self.base.component);
        let model = of.pointer;
        // SAFETY: the component is this table's, and every argument lives for the call.
        let session = self.base.caller.make(host, &"begin", (table.end, &"end", Some(of)), |host, place| unsafe {
            (table.begin)(model, host, &raw const raw, from, place)
        });
        Ok(Opaque::new(Session { owned: session?, told: None }))
    }

    fn step(&mut self, host: &Host<'_>, session: &mut Opaque, pause: Option<f64>) -> Result<TrainReport> {
        let table = self.train.as_ref().ok_or_else(|| self.lacks(abi::TRAIN))?;
        let (model, pointer) = (self.base.component(), self.session(session)?);
        let mut out = abi::TrainReport { size: size_of::<abi::TrainReport>(), ..Default::default() };
        let place = &raw mut out;
        let pause = pause.unwrap_or(f64::INFINITY);
        // SAFETY: component and session are this table's, and every argument lives for the call.
        self.base.call(host, &"step", |host| unsafe { (table.step)(model, pointer, host, pause, place) })?;
        let told = session.get_mut::<Session>()?.told.replace((out.epoch, out.tokens));
        let wrong = |what: String| Err(self.base.fault(&format!("it tells wrongly of its training: {what}")));
        if out.done != 0 && out.paused != 0 {
            return wrong("it is done, and paused".to_owned());
        }
        if !(out.seconds >= 0.0 && out.seconds.is_finite()) {
            return wrong(format!("a step took {} seconds", out.seconds));
        }
        if let Some((epoch, tokens)) = told {
            let expected = epoch + u64::from(out.paused == 0);
            if out.epoch != expected || out.tokens < tokens {
                return wrong(format!(
                    "after epoch {epoch} and {tokens} tokens it is at epoch {} and {} tokens",
                    out.epoch, out.tokens
                ));
            }
        }
        Ok(TrainReport {
            epoch: out.epoch,
            tokens: out.tokens,
            loss: out.loss,
            valid_loss: Some(out.valid_loss).filter(|loss| !loss.is_nan()),
            seconds: out.seconds,
            done: out.done != 0,
            paused: out.paused != 0,
        })
    }

    fn save_session(&self, host: &Host<'_>, session: &Opaque, directory: &Path) -> Result<()> {
        let table = self.train.as_ref().ok_or_else(|| self.lacks(abi::TRAIN))?;
        let (model, session) = (self.base.component(), self.session(session)?);
        let directory = Str::text(utf8(directory)?);
        // SAFETY: component and session are this table's, and every argument lives for the call.
        self.base.call(host, &"save_session", |host| unsafe { (table.save_session)(model, session, host, directory) })
    }
}

impl Extend for ModelHandle {
    fn extend(&mut self, host: &Host<'_>, vocabulary: usize, like: u32) -> Result<()> {
        let table = *self.extend.as_ref().ok_or_else(|| self.lacks(abi::EXTEND))?;
        let has = self.described()?.vocabulary;
        if vocabulary < has || like as usize >= has || vocabulary > UNWRITTEN as usize {
            return Err(self.beyond(&format!("a vocabulary of {vocabulary} like token {like}, and it has {has}")));
        }
        let base = self.change();
        let model = base.component();
        // SAFETY: the component is this table's, and every argument lives for the call.
        base.call(host, &"extend", |host| unsafe { (table.extend)(model, host, vocabulary as u64, like) })?;
        match self.described()?.vocabulary {
            found if found == vocabulary => Ok(()),
            found => Err(self.base.fault(&format!("extended to {vocabulary} tokens, it says that it has {found}"))),
        }
    }
}

impl Carry for ModelHandle {
    fn state(&self, host: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque> {
        let table = self.carry.as_ref().ok_or_else(|| self.lacks(abi::CARRY))?;
        let from = from.map_or(Ok(std::ptr::null_mut()), |from| self.state(from))?;
        let of = Arc::clone(&self.base.component);
        let model = of.pointer;
        // SAFETY: component and state are this table's, and every argument lives for the call.
        let state = self.base.caller.make(host, &"make", (table.end, &"end", Some(of)), |host, place| unsafe {
            (table.make)(model, host, from, place)
        });
        Ok(Opaque::new(State { owned: state?, generation: self.generation }))
    }
}
