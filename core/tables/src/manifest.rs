//! What a run was made of: `manifest.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{TableError, TableResult, seal};

/// The format of the out directory.
pub const FORMAT: u32 = 1;

/// What a run was made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the out directory's format.
    pub format: u32,
    /// Version of txray.
    pub version: String,
    /// Name of the pipeline: the stem of its file.
    pub pipeline: String,
    /// The folder that the pipeline's paths are relative to.
    pub folder: PathBuf,
    /// The data root.
    pub data: Option<PathBuf>,
    /// The processor's instruction set: between sets, values agree to 1e-5, not in every bit.
    pub instructions: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The device that models ran on.
    pub device: String,
    /// Threads used.
    pub threads: usize,
    /// The pipeline's tables, `--set` applied and every default in its place.
    pub settings: Value,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// The plugins at hand.
    pub plugins: Vec<PluginRecord>,
    /// Which part of every stage's documents was read, where it was not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
    /// What was done, in order.
    pub steps: Vec<StepRecord>,
    /// The files that were left, this one apart: what a later run into the same directory may replace or remove.
    pub outputs: Vec<Output>,
}

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which it is, from 1.
    pub index: u64,
    /// How many there are.
    pub of: u64,
    /// The hash of the program that made it, in hexadecimal: what is built in has no other.
    pub program: String,
}

/// A file that was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where, within the out directory.
    pub path: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Where it was found.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its hash, in hexadecimal.
    pub sha256: String,
}

/// A plugin at hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its library's hash; none for what is built in.
    pub sha256: Option<String>,
}

/// A step of a run. Times are in seconds; `seconds` is the work itself (of a model its optimizer steps, of a stage
/// encoding, recording and gathering), and everything else is named apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name, such as `stage.early`.
    pub name: String,
    /// Its kind, which its name begins with.
    pub kind: String,
    /// Whether it was there already; the figures are then those of when it was made.
    #[serde(default)]
    pub cached: bool,
    /// Seconds of the work itself.
    pub seconds: f64,
    /// Tokens that went through, `<eos>` included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Further figures by name, those of its kind: `tokenize_seconds`, `write_seconds`, `valid_perplexity`, ...
    #[serde(flatten)]
    pub figures: Map<String, Value>,
}

impl StepRecord {
    /// Tokens a second of the work itself.
    pub fn rate(&self) -> Option<f64> {
        self.tokens.map(|tokens| tokens as f64 / self.seconds).filter(|rate| rate.is_finite())
    }
}

/// A table or a weight that is not what it was in an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Both runs left it, with other bytes.
    Changed(String),
    /// The earlier run left it, and this one does not.
    Missing(String),
    /// This run left it, and the earlier one did not.
    Extra(String),
}

impl Manifest {
    /// Reads a manifest that a run left.
    pub fn read(path: &Path) -> TableResult<Self> {
        Ok(Self::read_with_seal(path)?.0)
    }

    /// The same, and whether it is what was written, to the byte.
    pub fn read_with_seal(path: &Path) -> TableResult<(Self, bool)> {
        let read = || {
            // Before it is opened: a pipe would be waited for.
            if !std::fs::metadata(path)?.is_file() {
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file"));
            }
            std::fs::read_to_string(path)
        };
        let json = read().map_err(|error| TableError::io("read the manifest", path, error))?;
        let manifest: Self = serde_json::from_str(&json)
            .map_err(|error| TableError::malformed(path, format!("it is no manifest of a run: {error}")))?;
        if manifest.format != FORMAT {
            return Err(TableError::Format { path: path.to_owned(), found: manifest.format, known: FORMAT });
        }
        Ok((manifest, seal::is_sealed(&json)))
    }

    /// Reads a manifest of this format that is as the run left it, to the byte; `None` for any other text.
    pub fn read_sealed(text: &str) -> Option<Self> {
        let manifest: Self = seal::is_sealed(text).then(|| serde_json::from_str(text).ok())??;
        (manifest.format == FORMAT).then_some(manifest)
    }

    /// The inputs that are not what they were when `earlier` was written: changed, or no longer read.
    pub fn inputs_changed(&self, earlier: &Self) -> Vec<PathBuf> {
        let is_same = |input: &&Input| self.inputs.iter().any(|now| now.sha256 == input.sha256);
        earlier.inputs.iter().filter(|input| !is_same(input)).map(|input| input.path.clone()).collect()
    }

    /// The tables and the weights that it left: what has to repeat.
    pub fn results(&self) -> impl Iterator<Item = &Output> {
        let is_result = |output: &&Output| [".parquet", ".safetensors"].iter().any(|end| output.path.ends_with(end));
        self.outputs.iter().filter(is_result)
    }

    /// How the results differ from those of `earlier`.
    pub fn differences(&self, earlier: &Self) -> Vec<Difference> {
        let of = |manifest: &Self, path: &str| {
            manifest.results().find(|output| output.path == path).map(|output| output.sha256.clone())
        };
        let paths: std::collections::BTreeSet<&String> =
            earlier.results().chain(self.results()).map(|output| &output.path).collect();
        let difference = |path: &String| match (of(earlier, path), of(self, path)) {
            (Some(then), Some(now)) if then == now => None,
            (Some(_), Some(_)) => Some(Difference::Changed(path.clone())),
            (Some(_), None) => Some(Difference::Missing(path.clone())),
            _ => Some(Difference::Extra(path.clone())),
        };
        paths.into_iter().filter_map(difference).collect()
    }

    /// As the text of `manifest.json`, sealed.
    ///
    /// # Errors
    /// [`TableError::Unwritten`] for a path that is no text: JSON has no other.
    pub fn to_json(&self) -> TableResult<String> {
        seal::sealed(self).map_err(|error| TableError::unwritten("manifest.json".as_ref(), error))
    }
}

/// The instruction set of this processor, as far as results may depend on it.
pub fn instructions() -> String {
    #[cfg(target_arch = "x86_64")]
    let best = [
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx2+fma", std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let best: [(&str, bool); 0] = [];
    let best = best.into_iter().find(|(_, has)| *has).map_or("baseline", |(name, _)| name);
    format!("{} {best}", std::env::consts::ARCH)
}
