//! A checkpoint over a text of articles, with some of its inputs dropped by a seed: two readings of it differ by chance alone, as
//! two readings of a network with dropout do. What tells whether a test of two readings of one text is what it says.

use std::path::PathBuf;
use std::sync::Arc;

use txray_lstm::{Lstm, LstmOptions};
use txray_plugin::random::Stream;
use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{
    ActivationBatch, ActivationSource, Component, EncodeRequest, Error, Host, LayerColumn, Model, Result, Rule, Sign,
    SiteRequest, SourceDescription, StringTable, Text,
};
use txray_text::{Disk, Document, Tokenizer};

/// Lines that a batch holds.
const LINES: usize = 1000;

/// A checkpoint read with inputs dropped.
struct Dropping {
    model: Lstm,
    tokenizer: Tokenizer,
    lines: Vec<(String, String)>,
    read: usize,
    options: Options,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
struct Options {
    /// A directory with a checkpoint.
    #[schemars(example = &"model")]
    model: PathBuf,
    /// A text: a line is a document, and ` = Title = ` begins an article.
    #[schemars(example = &"text.txt")]
    text: PathBuf,
    /// Of which inputs are dropped.
    seed: u64,
    /// The share of inputs that are read as unknown words.
    rate: f32,
    /// Read the first so many articles; none: all.
    articles: Option<usize>,
}

impl Component for Dropping {
    const KIND: &'static str = "dropping";
    const ABOUT: &'static str = "a checkpoint over a text, with inputs dropped by a seed";
    type Options = Options;

    fn create(options: Options, host: &Host<'_>) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| Error::invalid(error.to_string());
        let mut model = Lstm::create(LstmOptions::default(), host)?;
        model.load(host, &options.model)?;
        let tokenizer = Tokenizer::load(&options.model, &Disk).map_err(|error| wrong(&error))?;
        let text = std::fs::read_to_string(&options.text).map_err(|error| wrong(&error))?;
        let (mut group, mut articles) = (String::new(), 0);
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line.starts_with("= ") && line.ends_with(" =") && !line.starts_with("= =") {
                line.clone_into(&mut group);
                articles += 1;
            }
            if options.articles.is_none_or(|most| articles <= most) {
                lines.push((line.to_owned(), group.clone()));
            }
        }
        Ok(Self { model, tokenizer, lines, read: 0, options })
    }
}

impl ActivationSource for Dropping {
    fn describe(&self) -> Result<SourceDescription> {
        Ok(SourceDescription { sites: self.model.describe()?.sites, layers: vec!["token".to_owned()] })
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let lines = &self.lines[self.read..self.lines.len().min(self.read + LINES)];
        if lines.is_empty() {
            return Ok(None);
        }
        let document = |(at, (text, _)): (usize, &(String, String))| Document {
            id: (self.read + at) as u64,
            line: None,
            indent: 0,
            text: text.clone(),
            group: None,
            label: None,
            annotations: Vec::new(),
        };
        let documents: Vec<Document> = lines.iter().enumerate().map(document).collect();
        let encoded = self.tokenizer.encode(&documents).map_err(|error| Error::invalid(error.to_string()))?;
        let tokens = encoded.ids.len();
        let unknown = self.tokenizer.unknown().unwrap_or(0);
        let mut random = Stream::new(self.options.seed, "dropped", self.read as u64);
        // What is read; the features are those of the text.
        let dropped = encoded.ids.iter().map(|&id| if random.uniform() < self.options.rate { unknown } else { id });
        let ids: Vec<u32> = dropped.collect();
        let sites = self.model.describe()?.sites;
        let (mut neurons, mut activations) = (vec![0; tokens], vec![0.0; tokens]);
        let rule = Rule::Top { k: 1, neurons: &mut neurons, activations: &mut activations };
        let site = SiteRequest { site: 0, rule, sign: Sign::Positive, sum: &mut [], sum_abs: &mut [], sum_sq: &mut [] };
        let text = Text { ids: &ids, offsets: &encoded.offsets };
        let encode = self.model.as_encode().ok_or_else(|| Error::failed("it cannot be read"))?;
        encode.encode(host, &mut EncodeRequest { sites: vec![site], ..EncodeRequest::new(text) })?;
        debug_assert_eq!(sites.len(), 1, "a checkpoint of one layer");
        let names: StringTable = self.tokenizer.forms().iter().map(|form| form.to_string()).collect();
        let batch = ActivationBatch {
            documents: documents.iter().map(|document| document.id).collect(),
            groups: lines.iter().map(|(_, group)| group.clone()).collect(),
            offsets: encoded.offsets,
            starts: encoded.starts,
            ends: encoded.ends,
            layers: vec![LayerColumn {
                name: "token".to_owned(),
                features: encoded.ids,
                names: Arc::new(names),
                unjoined: 0,
            }],
            token: (0..tokens as u32).collect(),
            site: vec![0; tokens],
            neuron: neurons,
            activation: activations,
            ..ActivationBatch::default()
        };
        self.read += lines.len();
        Ok(Some(batch))
    }
}

txray_plugin::plugin!(sources = [Dropping]);
