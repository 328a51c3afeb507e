//! {{name}}: a source of activations, for txray: it replays what was recorded elsewhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::iter::Peekable;
use std::sync::Arc;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{
    ActivationBatch, ActivationSource, Component, Error, Host, LayerColumn, NULL, Result, Site, SourceDescription,
    StringTable,
};

/// Documents of a batch at most, so that memory does not grow with the recording.
const BATCH: usize = 1024;

/// Tab-separated lines `document, token, neuron, activation`, the documents in order: of each token the one most active
/// neuron.
struct {{Type}} {
    options: Options,
    lines: Peekable<Box<dyn Iterator<Item = Result<Line>> + Send>>,
}

/// What a pipeline may say about it. These comments are what `txray plugin inspect` shows.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
struct Options {
    /// The recording.
    // A path: txray looks for it beside the pipeline, and reads again when its bytes change. The example is what the
    // conformance tests read.
    #[schemars(extend("format" = "path", "examples" = [concat!(env!("CARGO_MANIFEST_DIR"), "/recorded.tsv")]))]
    path: String,
    /// Neurons of the recorded site.
    #[schemars(extend("examples" = [8]))]
    width: usize,
}

struct Line {
    document: u64,
    token: String,
    neuron: u32,
    activation: f32,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('\t');
        let line = Self {
            document: fields.next()?.parse().ok()?,
            token: fields.next()?.to_owned(),
            neuron: fields.next()?.parse().ok()?,
            activation: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(line)
    }
}

impl Component for {{Type}} {
    const KIND: &'static str = "{{name}}";
    const ABOUT: &'static str = "activations that were recorded in a file";
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        if options.width == 0 {
            return Err(Error::at("/width", "must be at least 1"));
        }
        let path = options.path.clone();
        let file = File::open(&path).map_err(|error| Error::at("/path", format!("cannot read {path}: {error}")))?;
        let lines = BufReader::new(file).lines().zip(1..).map(move |(line, number): (_, u64)| {
            let line = line.map_err(|error| Error::invalid(format!("{path}, line {number}: {error}")))?;
            Line::parse(&line)
                .ok_or_else(|| Error::invalid(format!("{path}, line {number}: expected document, token, neuron, activation")))
        });
        let lines: Box<dyn Iterator<Item = Result<Line>> + Send> = Box::new(lines);
        Ok(Self { options, lines: lines.peekable() })
    }
}

impl ActivationSource for {{Type}} {
    fn describe(&self) -> Result<SourceDescription> {
        let site = Site { name: "recorded".to_owned(), width: self.options.width };
        Ok(SourceDescription { sites: vec![site], layers: vec!["token".to_owned()] })
    }

    fn next(&mut self, _: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let mut batch = ActivationBatch::default();
        let (mut names, mut numbers, mut features) = (StringTable::new(), HashMap::new(), Vec::new());
        loop {
            match self.lines.peek() {
                // A document is given whole.
                Some(Ok(line)) => {
                    if batch.documents.last() != Some(&line.document) && batch.documents.len() == BATCH {
                        break;
                    }
                }
                Some(Err(error)) => return Err(error.clone()),
                None => break,
            }
            let Some(Ok(line)) = self.lines.next() else { break };
            if line.neuron as usize >= self.options.width {
                return Err(Error::at("/width", format!("neuron {} was recorded", line.neuron)));
            }
            let token = features.len() as u32;
            if batch.documents.last() != Some(&line.document) {
                batch.documents.push(line.document);
                batch.offsets.push(u64::from(token));
            }
            let feature = *numbers.entry(line.token).or_insert_with_key(|name| names.push(name) as u32);
            features.push(feature);
            batch.token.push(token);
            batch.site.push(0);
            batch.neuron.push(line.neuron);
            batch.activation.push(line.activation);
        }
        if batch.documents.is_empty() {
            return Ok(None);
        }
        batch.offsets.push(features.len() as u64);
        // Where a token stood in its text was not recorded.
        batch.starts = vec![NULL; features.len()];
        batch.ends = vec![NULL; features.len()];
        batch.layers = vec![LayerColumn { name: "token".to_owned(), features, names: Arc::new(names), unjoined: 0 }];
        Ok(Some(batch))
    }
}

txray_plugin::plugin!(sources = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::source_suite!(crate::plugin);
}
