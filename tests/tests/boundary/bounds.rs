//! What a plugin says of its sizes and gives in its batches is held before anything is made of it.

use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};
use txray_host::{FindError, Origin, Registry};
use txray_plugin::{
    ActivationBatch, ActivationSource, Block, Capabilities, Component, Encode, EncodeRequest, Error, ExactSum, Fault,
    Host, LayerColumn, Mask, Model, ModelDescription, Moments, NULL, Opaque, Predict, PredictRequest, Result, Rule,
    RuleKind, Sign, SiteRequest, SourceDescription, Task, Text, schemars, serde,
};

/// What a source or a model answers.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "txray_plugin::serde")]
#[schemars(crate = "txray_plugin::schemars")]
struct Options {
    /// How it describes itself.
    description: Value,
    /// How it describes itself from the second time on.
    #[serde(default)]
    later: Value,
    /// Where it says that it is read before it has weights.
    #[serde(default)]
    sites: Value,
    /// What is wrong with its batch, or with what it reads.
    #[serde(default)]
    fault: String,
}

struct Told(Options, std::sync::atomic::AtomicBool);

impl Component for Told {
    const KIND: &'static str = "told";
    const ABOUT: &'static str = "answers what its options say";
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        Ok(Self(options, false.into()))
    }
}

impl Told {
    fn description<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let was_asked = self.1.swap(true, std::sync::atomic::Ordering::Relaxed);
        let description = if was_asked && !self.0.later.is_null() { &self.0.later } else { &self.0.description };
        serde_json::from_value(description.clone()).map_err(|error| Error::failed(error.to_string()))
    }
}

/// Two documents of three tokens at a site of three neurons, in one layer.
fn batch() -> ActivationBatch {
    let sums = || [1.0; 3].map(ExactSum::of).to_vec();
    ActivationBatch {
        documents: vec![0, 1],
        offsets: vec![0, 2, 3],
        starts: vec![0, 4, NULL],
        ends: vec![3, 7, NULL],
        layers: vec![LayerColumn {
            name: "token".to_owned(),
            features: vec![0, 1, NULL],
            names: std::sync::Arc::new(["the", "cat"].into_iter().collect()),
            unjoined: 0,
        }],
        token: vec![0, 1, 2],
        site: vec![0; 3],
        neuron: vec![2, 0, 1],
        activation: vec![0.5, 0.25, 0.125],
        moments: vec![Moments { sum: sums(), sum_abs: sums(), sum_sq: sums() }],
        ..ActivationBatch::default()
    }
}

impl ActivationSource for Told {
    fn describe(&self) -> Result<SourceDescription> {
        self.description()
    }

    fn next(&mut self, _: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let mut batch = batch();
        match &self.0.fault[..] {
            "falling offsets" => batch.offsets = vec![0, 4, 3],
            "offsets beyond" => batch.offsets = vec![0, 2, u64::MAX],
            "no offsets" => batch.offsets.clear(),
            "more documents" => batch.documents.push(2),
            "feature without a name" => batch.layers[0].features[0] = 2,
            "another layer" => batch.layers[0].name = "pos".to_owned(),
            "no layer" => batch.layers.clear(),
            "short layer" => drop(batch.layers[0].features.pop()),
            "neuron beyond" => batch.neuron[2] = 3,
            "site beyond" => batch.site[2] = u32::MAX,
            "token beyond" => batch.token[2] = 3,
            "falling tokens" => batch.token = vec![1, 0, 2],
            "NaN" => batch.activation[1] = f32::NAN,
            "NaN sum" => batch.moments[0].sum_sq[1] += f64::NAN,
            "short sums" => drop(batch.moments[0].sum.pop()),
            "short observations" => drop(batch.neuron.pop()),
            "unknown" => batch.unknown = u64::MAX,
            "lines" => batch.lines = vec![1],
            "characters" => batch.characters = u64::MAX,
            "dropped" => batch.dropped = 1,
            "dropped documents" => batch.dropped_documents = 1,
            "unjoined" => batch.layers[0].unjoined = u64::MAX,
            "end before start" => batch.ends[1] = 1,
            _ => {}
        }
        Ok(Some(batch))
    }
}

impl Model for Told {
    fn capabilities(&self) -> Capabilities {
        let rules = vec![RuleKind::Top, RuleKind::All];
        let sites = serde_json::from_value(self.0.sites.clone()).unwrap_or_default();
        Capabilities {
            tasks: vec![Task::LanguageModel],
            rules,
            masks: false,
            predictions: true,
            sites,
            ..Capabilities::default()
        }
    }
    fn describe(&self) -> Result<ModelDescription> {
        self.description()
    }
    fn initialize(&mut self, _: &Host<'_>, _: usize, _: u64) -> Result<()> {
        Ok(())
    }
    fn load(&mut self, _: &Host<'_>, _: &Path) -> Result<()> {
        Ok(())
    }
    fn save(&self, _: &Host<'_>, _: &Path) -> Result<()> {
        Ok(())
    }
    txray_plugin::abilities!(encode, predict);
}

impl Encode for Told {
    fn encode(&self, _: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let block: Option<(usize, &[u32], &[u32])> = match &self.0.fault[..] {
            "emitted" => Some((1, &[0, 0], &[0, 2])),
            "emitted of top" => Some((0, &[0], &[0])),
            "emitted of none" => Some((2, &[0], &[0])),
            "emitted token beyond" => Some((1, &[1], &[0])),
            "emitted neuron beyond" => Some((1, &[0], &[3])),
            "emitted short" => Some((1, &[0], &[0, 1])),
            _ => None,
        };
        if let Some((request_of, token, neuron)) = block {
            let activation = &[0.5; 9][..neuron.len()];
            (request.emit)(&Block { request: request_of, token, neuron, activation });
        }
        if let (Some((_, predictions)), "prediction beyond") = (&mut request.predictions, &self.0.fault[..]) {
            predictions[0] = 9;
        }
        let site = &mut request.sites[0];
        let Rule::Top { neurons, activations, .. } = &mut site.rule else { panic!("it was asked for the top") };
        if self.0.fault == "unwritten" {
            return Ok(());
        }
        neurons.fill(0);
        match &self.0.fault[..] {
            "neuron beyond" => neurons[0] = 3,
            "NaN sum" => site.sum[0] += f64::NAN,
            "NaN" => activations[0] = f32::NAN,
            _ => {}
        }
        Ok(())
    }
}

impl Predict for Told {
    fn predict(&self, _: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()> {
        request.counts.fill(u64::MAX);
        Ok(())
    }
}

txray_plugin::components!(sources = [Told], models = [Told]);

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add(plugin(), Origin::BuiltIn).unwrap();
    registry
}

/// The message without the component's name, which must be there.
#[track_caller]
fn words(error: &Error) -> String {
    assert_eq!(error.fault(), Fault::Failed, "{error}");
    let rest = error.message().strip_prefix("`told` of txray-tests (built in): ");
    rest.unwrap_or_else(|| panic!("{error}")).to_owned()
}

fn source(options: &Value) -> Box<dyn ActivationSource> {
    registry().source("told", options, &Host::detached()).unwrap()
}

fn model(options: &Value) -> Box<dyn Model> {
    registry().model("told", options, &Host::detached()).unwrap()
}

fn good() -> Value {
    json!({ "sites": [{ "name": "h", "width": 3 }], "layers": ["token"] })
}

fn good_model() -> Value {
    json!({ "sites": [{ "name": "h", "width": 3 }], "vocabulary": 9, "parameters": 1, "longest_context": 3,
            "heads": [{ "task": "language-model", "classes": 9 }, { "task": "of years to come", "classes": 1 }] })
}

#[test]
fn what_fits_is_taken() {
    let mut source = source(&json!({ "description": good() }));
    assert_eq!(source.describe().unwrap().layers, ["token"]);
    assert_eq!(source.next(&Host::detached()).unwrap(), Some(batch()));
    assert_eq!(model(&json!({ "description": good_model() })).describe().unwrap().vocabulary, 9);
    // As many neurons as may be.
    let mut most = good_model();
    most["sites"] = json!([{ "name": "a", "width": 1 << 23 }, { "name": "b", "width": 1 << 23 }]);
    model(&json!({ "description": most })).describe().unwrap();
}

#[test]
fn sites_that_cannot_be() {
    let site = |name: &str, width: u64| json!({ "name": name, "width": width });
    let many: Vec<Value> = (0..65537).map(|index| site(&format!("s{index}"), 1)).collect();
    let endless: Vec<Value> = (0..1_000_000).map(|index| site(&index.to_string(), 1)).collect();
    let cases = [
        (json!([]), "it has no site"),
        (json!([site("h", 0)]), "its site `h` has no neuron"),
        (json!([site("h", 1), site("h", 2)]), "two of its sites are called `h`"),
        (json!([site("", 1)]), "a site is called ``: a site has a name"),
        (json!([site("a\u{1b}[2J", 1)]), "a site is called `a\\u{1b}[2J`"),
        (json!([site("a\u{202e}b", 1)]), "a site is called `a\\u{202e}b`"),
        (json!([site(&"x".repeat(300), 1)]), "at most 256 characters"),
        (
            json!([site("h", 1 << 40)]),
            "its sites have 1099511627776 neurons, which would need 128.0 TiB of memory; 16777216 is the most",
        ),
        (json!([site("a", u64::MAX), site("b", u64::MAX)]), "its sites have 36893488147419103230 neurons"),
        (json!([site("a", 1 << 24), site("b", 1)]), "its sites have 16777217 neurons"),
        (json!(many), "it has 65537 sites, and 65536 is the most"),
        (json!(endless), "its description has 26"),
    ];
    for (sites, what) in cases {
        let (mut of_source, mut of_model) = (good(), good_model());
        of_source["sites"] = sites.clone();
        of_model["sites"] = sites;
        for found in [
            words(&source(&json!({ "description": of_source })).describe().unwrap_err()),
            words(&source(&json!({ "description": of_source })).next(&Host::detached()).unwrap_err()),
            words(&model(&json!({ "description": of_model })).describe().unwrap_err()),
        ] {
            assert!(found.contains(what), "{what}: {found}");
        }
    }
}

/// Those that a model tells of before it has weights, too.
#[test]
fn sites_that_cannot_be_before_there_are_weights() {
    let told = |width: u64| {
        let options = json!({ "description": good_model(), "sites": [{ "name": "h", "width": width }] });
        registry().model("told", &options, &Host::detached())
    };
    assert_eq!(told(3).unwrap().capabilities().sites[0].width, 3);
    for (width, what) in [(0, "its site `h` has no neuron"), (1 << 40, "16777216 is the most")] {
        let Err(FindError::Refused(error)) = told(width) else { panic!("{what}") };
        assert!(error.message().contains(what), "{what}: {error}");
    }
}

#[test]
fn models_that_cannot_be() {
    for (key, value, what) in [
        ("vocabulary", 1_u64 << 60, "it has a vocabulary of 1152921504606846976 tokens"),
        ("vocabulary", u64::from(u32::MAX) + 1, "it has a vocabulary of 4294967296 tokens"),
        ("longest_context", 0, "it reads documents of no token"),
    ] {
        let mut description = good_model();
        description[key] = value.into();
        let found = words(&model(&json!({ "description": description })).describe().unwrap_err());
        assert!(found.contains(what), "{what}: {found}");
    }
}

#[test]
fn layers_that_could_not_be_columns() {
    for (layers, what) in [
        (json!([""]), "one of its layers has no name"),
        (json!(["pos", "pos"]), "two of its layers are called `pos`"),
        (json!(["a\nb"]), "one of its layers is called `a\\nb`, but names have"),
        (json!(["../x"]), "one of its layers is called `../x`"),
        (json!(["x".repeat(65)]), "64 characters at most"),
    ] {
        let mut description = good();
        description["layers"] = layers;
        let found = words(&source(&json!({ "description": description })).describe().unwrap_err());
        assert!(found.contains(what), "{what}: {found}");
    }
}

#[test]
fn a_source_that_changes_its_mind() {
    let mut later = good();
    later["layers"] = json!(["site"]);
    let source = source(&json!({ "description": good(), "later": later }));
    source.describe().unwrap();
    let found = words(&source.describe().unwrap_err());
    assert!(found.starts_with("it describes itself as ") && found.contains("and before as"), "{found}");
}

#[test]
fn batches_that_do_not_fit() {
    let fits = "a batch that does not fit: ";
    for (fault, what) in [
        ("falling offsets", "the offsets [0, 4, 3] do not cut 3 tokens into documents"),
        ("offsets beyond", "do not cut 3 tokens into documents"),
        ("no offsets", "a batch with 0 offsets, where 3 belong"),
        ("more documents", "a batch with 3 offsets, where 4 belong"),
        ("feature without a name", "feature 2 of layer `token` has no name"),
        ("another layer", "the layers are [\"pos\"], but [\"token\"] were described"),
        ("no layer", "a batch with 0 layers, where 1 belong"),
        ("short layer", "there are 2 features of layer `token` for 3 tokens"),
        ("neuron beyond", "observation 2 is of neuron 3 of 3"),
        ("site beyond", "observation 2 is at site 4294967295 of 1"),
        ("token beyond", "observation 2 is at token 3 of 3"),
        ("falling tokens", "the tokens of the observations fall"),
        ("NaN", "observation 1 has the activation NaN"),
        ("NaN sum", "at site `h` a sum of h² is no number within 2^62"),
        ("short sums", "at site `h` there are 2 sums of h for 3 neurons"),
        ("short observations", "a batch with 2 neurons of observations, where 3 belong"),
        ("unknown", "18446744073709551615 of 3 tokens are unknown"),
        ("lines", "a batch with 1 lines, where 2 belong"),
        ("characters", "there are 18446744073709551615 characters in 2 documents"),
        ("dropped", "1 of 0 characters are dropped"),
        ("dropped documents", "1 of 2 documents are dropped, of 0 characters"),
        ("unjoined", "18446744073709551615 of 3 tokens are unjoined in layer `token`"),
        ("end before start", "token 1 reaches from 4 to 1"),
    ] {
        let mut source = source(&json!({ "description": good(), "fault": fault }));
        let found = words(&source.next(&Host::detached()).unwrap_err());
        assert!(found.starts_with("it gave a batch") && found.contains(what), "{fault}: {found}");
        assert!(found.contains(" belong") || found.contains(fits), "{fault}: {found}");
    }
}

/// What reading one token of a model at its site comes to: the most active neuron, all of them, and a prediction.
fn read(fault: &str) -> Result<Vec<(u32, u32)>> {
    let model = model(&json!({ "description": good_model(), "fault": fault }));
    let (mut neurons, mut activations, mut predictions) = ([0], [0.0], [0]);
    let [mut first, mut second] = [[[ExactSum::ZERO; 3]; 3]; 2];
    let moments = first.each_mut().map(|sums| &mut sums[..]);
    let [sum, sum_abs, sum_sq] = &mut second;
    let sites = vec![
        SiteRequest::top(0, 1, (&mut neurons, &mut activations), moments),
        SiteRequest { site: 0, rule: Rule::All, sign: Sign::Positive, sum, sum_abs, sum_sq },
    ];
    let text = Text { ids: &[1], offsets: &[0, 1] };
    let kept = Mutex::new(Vec::new());
    let emit = |block: &Block<'_>| {
        kept.lock().unwrap().extend(block.token.iter().copied().zip(block.neuron.iter().copied()));
    };
    let predictions = Some((Task::LanguageModel, &mut predictions[..]));
    let mut request = EncodeRequest { sites, predictions, emit: &emit, ..EncodeRequest::new(text) };
    model.as_encode().unwrap().encode(&Host::detached(), &mut request)?;
    Ok(kept.into_inner().unwrap())
}

#[test]
fn a_model_that_reads_what_is_not_there() {
    read("").unwrap();
    assert_eq!(words(&read("neuron beyond").unwrap_err()), "it gave neuron 3 of 3 at its site 0");
    assert_eq!(words(&read("unwritten").unwrap_err()), "it left token 0 unwritten at its site 0");
    assert_eq!(words(&read("NaN sum").unwrap_err()), "it gave a sum that is no number within 2^62 at its site 0");
    // The engine tells this with its document.
    read("NaN").unwrap();
    assert_eq!(words(&read("prediction beyond").unwrap_err()), "it predicted class 9 of 9");
    let model = model(&json!({ "description": good_model() }));
    let text = Text { ids: &[1, 2], offsets: &[0, 2] };
    let scored = model.as_predict().unwrap().score(&Host::detached(), text, None);
    assert_eq!(words(&scored.unwrap_err()), "it predicted 18446744073709551615 of 2 tokens of document 0");
}

#[test]
fn a_model_that_emits_what_is_not_there() {
    assert_eq!(read("emitted").unwrap(), [(0, 0), (0, 2)]);
    for (fault, what) in [
        ("emitted of top", "it emitted observations of request 0, which asks for none"),
        ("emitted of none", "it emitted observations of request 2, which asks for none"),
        ("emitted token beyond", "it emitted an observation of token 1 of 1"),
        ("emitted neuron beyond", "it emitted an observation of neuron 3 of 3"),
        ("emitted short", "it emitted columns of different lengths"),
    ] {
        assert_eq!(words(&read(fault).unwrap_err()), what);
    }
}

/// What a model does not have, nobody can call; and a state is of one model alone.
#[test]
fn a_model_without_an_ability() {
    let mut model = model(&json!({ "description": good_model() }));
    assert!(model.as_train().is_none() && model.as_train_mut().is_none() && model.as_carry().is_none());
    let text = Text { ids: &[1], offsets: &[0, 1] };
    // And within one, no more than it says that it can.
    let mask = [Mask { site: 0, values: &[0.0; 3] }];
    let mut request = EncodeRequest { masks: &mask, ..EncodeRequest::new(text) };
    let error = model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err();
    assert_eq!(words(&error), "it was given a mask, and it knows none");
    let [mut sum, mut sum_abs, mut sum_sq] = [[ExactSum::ZERO; 3]; 3];
    let (rule, sign) = (Rule::Above(0.0), Sign::Positive);
    let above = SiteRequest { site: 0, rule, sign, sum: &mut sum, sum_abs: &mut sum_abs, sum_sq: &mut sum_sq };
    let mut request = EncodeRequest { sites: vec![above], ..EncodeRequest::new(text) };
    let error = model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err();
    assert_eq!(words(&error), "it was given a record rule that it does not have, at site 0");
    let mut foreign = Opaque::new(7);
    let mut request = EncodeRequest { state: Some(&mut foreign), ..EncodeRequest::new(text) };
    let error = model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err();
    assert!(error.message().contains("not of this model"), "{error}");
}
