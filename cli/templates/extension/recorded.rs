//! Activations in a table, recorded anywhere: a line a token, with the number of its document, its word, and the activation
//! of every neuron, between tabs.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::sync::Arc;

use txray_plugin::{
    ActivationBatch, ActivationSource, Error, ExactSum, Host, LayerColumn, Moments, NULL, Result, Site, SourceDescription,
};

/// Tokens of a batch, about: memory does not grow with the table.
const TOKENS: usize = 1 << 16;

/// The table, from its first line on.
pub struct Recorded {
    lines: Lines<BufReader<File>>,
    width: usize,
    /// The line that begins the next batch.
    next: Option<String>,
}

impl Recorded {
    /// Opens a table; its first line tells how many neurons there are.
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| Error::invalid(format!("{}: {error}", path.display()));
        let mut lines = BufReader::new(File::open(path).map_err(unreadable)?).lines();
        let next = lines.next().transpose().map_err(unreadable)?;
        let width = next.as_ref().map_or(0, |line| line.split('\t').count().saturating_sub(2));
        match width {
            0 => Err(Error::invalid(format!("{}: no line of a document, a word and activations", path.display()))),
            _ => Ok(Self { lines, width, next }),
        }
    }
}

impl ActivationSource for Recorded {
    fn describe(&self) -> Result<SourceDescription> {
        let sites = vec![Site { name: "recorded".to_owned(), width: self.width }];
        Ok(SourceDescription { sites, layers: vec!["word".to_owned()] })
    }

    fn next(&mut self, _: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let zeros = || vec![ExactSum::ZERO; self.width];
        let mut moments = Moments { sum: zeros(), sum_abs: zeros(), sum_sq: zeros() };
        let (mut batch, mut words) = (ActivationBatch::default(), Vec::new());
        while let Some(line) = self.next.take() {
            let bad = || Error::invalid(format!("a line is not a document, a word and {} activations: {line}", self.width));
            let mut cells = line.split('\t');
            let document: u64 = cells.next().and_then(|cell| cell.parse().ok()).ok_or_else(bad)?;
            let word = cells.next().ok_or_else(bad)?;
            if batch.documents.last() != Some(&document) {
                // A batch has whole documents.
                if words.len() >= TOKENS {
                    self.next = Some(line);
                    break;
                }
                batch.documents.push(document);
                batch.offsets.push(words.len() as u64);
            }
            let activations: Vec<f32> = cells.map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| bad())?;
            if activations.len() != self.width {
                return Err(bad());
            }
            for (neuron, &activation) in activations.iter().enumerate() {
                batch.token.push(words.len() as u32);
                batch.site.push(0);
                batch.neuron.push(neuron as u32);
                batch.activation.push(activation);
                let h = f64::from(activation);
                moments.sum[neuron] += h;
                moments.sum_abs[neuron] += h.abs();
                moments.sum_sq[neuron] += h * h;
            }
            words.push(word.to_owned());
            self.next = self.lines.next().transpose().map_err(|error| Error::invalid(error.to_string()))?;
        }
        if words.is_empty() {
            return Ok(None);
        }
        let tokens = words.len();
        batch.offsets.push(tokens as u64);
        (batch.starts, batch.ends) = (vec![NULL; tokens], vec![NULL; tokens]);
        let names = Arc::new(words.iter().collect());
        batch.layers = vec![LayerColumn { name: "word".to_owned(), features: (0..tokens as u32).collect(), names, unjoined: 0 }];
        batch.moments = vec![moments];
        Ok(Some(batch))
    }
}
