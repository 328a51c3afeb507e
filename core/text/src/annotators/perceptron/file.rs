//! What was learned, as a file of safetensors.
//!
//! `weights` is `[rows, tags]` in f32. `words` (u64) are the hashes of frequent words that have but one tag, in order,
//! and `words_tags` (u32) these tags. The metadata's `perceptron` is JSON: the format's version, and the tags by number.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::features::Rows;
use super::tagger::{MOST_TAGS, Tagger};
use crate::error::CorpusError;
use crate::files::Files;
use crate::shown::shortened;

pub(super) const FILE: &str = "annotator.safetensors";

/// Another number for other facts, or for other hashes of them.
const VERSION: u32 = 1;

/// The bytes that the file has at most.
const LARGEST: u64 = 1 << 28;

const HEADER: &str = "perceptron";

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    tags: Vec<String>,
}

pub(super) fn write(tagger: &Tagger, folder: &Path) -> Result<(), CorpusError> {
    let path = folder.join(FILE);
    let mut known: Vec<(u64, u32)> = tagger.known.iter().map(|(&word, &tag)| (word, tag)).collect();
    known.sort_unstable();
    let weights: Vec<u8> = tagger.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let words: Vec<u8> = known.iter().flat_map(|(word, _)| word.to_le_bytes()).collect();
    let tags: Vec<u8> = known.iter().flat_map(|(_, tag)| tag.to_le_bytes()).collect();
    let shape = vec![tagger.rows.count(), tagger.tags.len()];
    let tensors = [
        ("weights", Dtype::F32, shape, &weights),
        ("words", Dtype::U64, vec![known.len()], &words),
        ("words_tags", Dtype::U32, vec![known.len()], &tags),
    ];
    let other = |error: String| CorpusError::Write { path: path.clone(), source: std::io::Error::other(error) };
    let views =
        tensors.map(|(name, dtype, shape, bytes)| TensorView::new(dtype, shape, bytes).map(|view| (name, view)));
    let views: Result<Vec<_>, safetensors::SafeTensorError> = views.into_iter().collect();
    let header = serde_json::to_string(&Header { version: VERSION, tags: tagger.tags.clone() });
    // One entry: the order of several is not sure.
    let metadata = HashMap::from([(HEADER.to_owned(), header.map_err(|error| other(error.to_string()))?)]);
    let bytes = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    let bytes = bytes.map_err(|error| other(error.to_string()))?;
    std::fs::write(&path, bytes).map_err(|source| CorpusError::Write { path, source })
}

pub(super) fn read(folder: &Path, files: &dyn Files) -> Result<Tagger, CorpusError> {
    let path = folder.join(FILE);
    let io = |source| CorpusError::Io { path: path.clone(), source };
    let mut bytes = Vec::new();
    files.open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(io)?;
    parse(&bytes).map_err(|message| CorpusError::Learned { path: path.clone(), message: shortened(&message) })
}

fn parse(bytes: &[u8]) -> Result<Tagger, String> {
    if bytes.len() as u64 > LARGEST {
        return Err(format!("larger than {} MiB, which none is", LARGEST >> 20));
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
    let header = header.ok_or_else(|| format!("its metadata have no `{HEADER}`"))?;
    let Header { version, tags } = serde_json::from_str(header).map_err(|error| format!("`{HEADER}`: {error}"))?;
    if version != VERSION {
        return Err(format!("of version {version}, and {VERSION} is read"));
    }
    if tags.is_empty() || tags.len() > MOST_TAGS {
        return Err(format!("{} tags, and there are 1 to {MOST_TAGS}", tags.len()));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            let (found, found_shape) = (tensor.dtype(), tensor.shape());
            return Err(format!("`{name}` is {found:?} of {found_shape:?}, and {dtype:?} of {shape:?} is meant"));
        }
        Ok(tensor)
    };
    let rows = Rows::of_tags(tags.len());
    let weights = tensor("weights", Dtype::F32, &[rows.count(), tags.len()])?;
    let weights: Vec<f32> = numbers(weights.data(), f32::from_le_bytes);
    if weights.iter().any(|weight| !weight.is_finite()) {
        return Err("`weights` has one that is no number".to_owned());
    }
    let known = tensors.tensor("words").map_err(|error| error.to_string())?.shape().first().copied().unwrap_or(0);
    let words = numbers(tensor("words", Dtype::U64, &[known])?.data(), u64::from_le_bytes);
    let of_words = numbers(tensor("words_tags", Dtype::U32, &[known])?.data(), u32::from_le_bytes);
    if let Some(tag) = of_words.iter().find(|&&tag| tag as usize >= tags.len()) {
        return Err(format!("`words_tags` has {tag}, and there are {} tags", tags.len()));
    }
    Ok(Tagger { tags, rows, weights, known: words.into_iter().zip(of_words).collect() })
}

fn numbers<const N: usize, T>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}
