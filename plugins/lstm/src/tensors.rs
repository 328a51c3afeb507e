//! Files of tensors. Whatever is wrong with one that is read is named in the error, with the file and the tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use txray_plugin::{Error, Result};

use crate::pickle::Pickle;
use crate::weights::{Cell, failed};
use crate::{memory, names};

/// A safetensors file whose header has been read.
pub(crate) struct TensorFile<'a> {
    path: &'a Path,
    /// Which file or record fixes the shapes, for messages.
    says: &'a str,
    bytes: &'a [u8],
    tensors: SafeTensors<'a>,
}

impl<'a> TensorFile<'a> {
    /// Parses `bytes`, the content of the file at `path`. `says` names what fixes the shapes of its tensors.
    pub fn parse(path: &'a Path, bytes: &'a [u8], says: &'a str) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|e| invalid(path, format_args!("not a whole safetensors file ({e})")))?;
        Ok(Self { path, says, bytes, tensors })
    }

    pub fn metadata(&self, key: &str) -> Option<String> {
        let (_, header) = SafeTensors::read_metadata(self.bytes).ok()?;
        header.metadata().as_ref()?.get(key).cloned()
    }

    fn all_metadata(&self) -> Vec<(String, String)> {
        let header = SafeTensors::read_metadata(self.bytes).ok();
        header.and_then(|(_, header)| header.metadata().clone()).into_iter().flatten().collect()
    }

    /// Refuses a file with tensors of other names than these.
    pub fn only(&self, names: &[String]) -> Result<()> {
        only(self.path, self.says, self.tensors.names(), names)
    }

    /// The values of a tensor, widened or rounded to single precision; an error where it is missing, of another type or shape, or
    /// not finite.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Ok(tensor) = self.tensors.tensor(name) else {
            return Err(invalid(self.path, format_args!("there is no tensor `{name}`")));
        };
        let dtype = match tensor.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                let what = format_args!("tensor `{name}` is of type {other:?}; F32, F64, F16 and BF16 are read");
                return Err(invalid(self.path, what));
            }
        };
        in_shape(self.path, name, tensor.shape(), (self.says, shape))?;
        let values = match dtype {
            DType::F32 => tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            _ => {
                Tensor::from_raw_buffer(tensor.data(), dtype, shape, &Device::Cpu).and_then(widened).map_err(failed)?
            }
        };
        finite(self.path, name, values)
    }
}

fn in_shape(path: &Path, name: &str, found: &[usize], (says, shape): (&str, &[usize])) -> Result<()> {
    match found == shape {
        true => Ok(()),
        false => Err(invalid(path, format_args!("tensor `{name}` has shape {found:?}; {says} says {shape:?}"))),
    }
}

fn finite(path: &Path, name: &str, values: Vec<f32>) -> Result<Vec<f32>> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(i) => Err(invalid(path, format_args!("tensor `{name}` holds {} at element {i}", values[i]))),
        None => Ok(values),
    }
}

pub(crate) fn widened(tensor: Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The tensors of a checkpoint directory, wherever they lie in it, under the names that they have here.
pub(crate) struct Checkpoint {
    /// safetensors files with their bytes.
    files: Vec<(PathBuf, Vec<u8>)>,
    pickle: Option<Pickle>,
    /// Each with its shape.
    tensors: BTreeMap<String, (Place, Vec<usize>)>,
    /// What its layers are made of, where it has any.
    pub cell: Option<Cell>,
    says: &'static str,
}

#[derive(Clone)]
enum Place {
    /// Of `files`, under that file's own name of it.
    File(usize, String),
    /// Under the pickle's own name of it.
    Pickle(String),
}

impl Checkpoint {
    /// Opens a directory's weights. `says` names what fixes the shapes.
    pub fn open(directory: &Path, says: &'static str) -> Result<Self> {
        let mut checkpoint = Self { files: Vec::new(), pickle: None, tensors: BTreeMap::new(), cell: None, says };
        let mut places: Vec<(String, Place, Vec<usize>)> = Vec::new();
        match weights_in(directory)? {
            Found::Files(paths) => {
                for path in paths {
                    let bytes = read(&path)?;
                    checkpoint.files.push((path, bytes));
                }
            }
            Found::Pickle(path) => {
                let pickle = Pickle::open(&path)?;
                let shapes = pickle.shapes();
                places.extend(shapes.map(|(name, shape)| (name.clone(), Place::Pickle(name.clone()), shape.to_vec())));
                checkpoint.pickle = Some(pickle);
            }
        }
        let mut aliases = Vec::new();
        for (number, (path, bytes)) in checkpoint.files.iter().enumerate() {
            let file = TensorFile::parse(path, bytes, says)?;
            places.extend(file.tensors.iter().map(|(name, tensor)| {
                (name.to_owned(), Place::File(number, name.to_owned()), tensor.shape().to_vec())
            }));
            aliases.extend(file.all_metadata());
        }
        // `save_model` of safetensors writes a tensor that has several names under one of them; its metadata tells the others.
        for (alias, of) in aliases {
            if !places.iter().any(|(name, ..)| *name == alias)
                && let Some((_, place, shape)) = places.iter().find(|(name, ..)| *name == of).cloned()
            {
                places.push((alias, place, shape));
            }
        }
        let shapes = places.iter().map(|(name, _, shape)| (name.clone(), shape.clone())).collect();
        let in_file = |what: String| invalid(checkpoint.path(), format_args!("{what}"));
        let cell = cell_of(&shapes).map_err(in_file)?;
        let known = names::known(&shapes, cell.map_or("", Cell::name)).map_err(in_file)?;
        checkpoint.cell = cell;
        for (name, place, shape) in places {
            let here = known[&name].clone();
            if checkpoint.tensors.insert(here.clone(), (place, shape)).is_some() {
                return Err(invalid(directory, format_args!("two of its tensors are `{here}`")));
            }
        }
        Ok(checkpoint)
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The rows and columns of a matrix.
    pub fn matrix(&self, name: &str) -> Option<[usize; 2]> {
        self.tensors.get(name).and_then(|(_, shape)| shape.as_slice().try_into().ok())
    }

    /// Refuses tensors of other names than these.
    pub fn only(&self, names: &[String]) -> Result<()> {
        let found = self.tensors.keys().map(String::as_str);
        only(self.path(), self.says, found, names).map_err(|error| {
            let is_part = |name: &String| name.contains(".parametrizations.") || name.ends_with("_g") || name.ends_with("_v");
            let help = match self.tensors.keys().any(is_part) {
                true => {
                    "some are parts of a weight: `torch.nn.utils.parametrize.remove_parametrizations` (or `remove_weight_norm`) \
                     puts them together, before the model is saved"
                }
                false => {
                    "read are an embedding, LSTM or GRU layers, and one linear layer after them; what else follows the recurrent \
                     layers can be left out of the file"
                }
            };
            Error::invalid(format!("{} ({help})", error.message()))
        })
    }

    /// For messages: the file, or the first of them.
    pub fn path(&self) -> &Path {
        let of_pickle = self.pickle.as_ref().map(|pickle| &pickle.path);
        self.files.first().map(|(path, _)| path).or(of_pickle).map_or(Path::new(WEIGHTS), |path| path)
    }

    /// As [`TensorFile::values`].
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some((Place::File(file, own), _)) => {
                let (path, bytes) = &self.files[*file];
                TensorFile::parse(path, bytes, self.says)?.values(own, shape)
            }
            Some((Place::Pickle(own), _)) => self.pickled(name, own, shape),
            None => Err(invalid(self.path(), format_args!("there is no tensor `{name}`"))),
        }
    }

    fn pickled(&self, name: &str, own: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let missing = || invalid(self.path(), format_args!("there is no tensor `{name}`"));
        let pickle = self.pickle.as_ref().ok_or_else(missing)?;
        let (dtype, path) = (pickle.dtype(own).ok_or_else(missing)?, &pickle.path);
        // Before anything is made of what it says of its size.
        let found = self.tensors.get(name).map(|(_, shape)| shape.as_slice()).unwrap_or_default();
        in_shape(path, name, found, (self.says, shape))?;
        if !dtype.is_float() {
            let what = format_args!("tensor `{name}` is of type {dtype:?}; floating point numbers are read");
            return Err(invalid(path, what));
        }
        let whole = |error: String| invalid(path, format_args!("tensor `{name}` is not whole ({error})"));
        finite(path, name, pickle.values(own).map_err(whole)?)
    }

    /// Tensors of it by the names that they have there, for messages.
    pub fn some(&self) -> String {
        listed(self.tensors.values().map(|(Place::File(_, own) | Place::Pickle(own), _)| own.as_str()))
    }
}

/// What the recurrent layers are made of, by the shapes of the first; none, where there is none.
fn cell_of(shapes: &BTreeMap<String, Vec<usize>>) -> std::result::Result<Option<Cell>, String> {
    let matrix = |end: &str| {
        let shape = shapes.iter().find(|(name, _)| name.ends_with(end)).map(|(_, shape)| shape.as_slice());
        shape.and_then(|shape| <[usize; 2]>::try_from(shape).ok())
    };
    // An `nn.LSTMCell` has one layer, and no number of it.
    let of_first = |part: &str| matrix(&format!("{part}_l0")).or(matrix(part));
    let Some([rows, columns]) = of_first("weight_hh") else { return Ok(None) };
    if let Some([of_input, _]) = of_first("weight_ih").filter(|[of_input, _]| *of_input != rows) {
        return Err(format!("tensor `weight_hh_l0` has {rows} rows, but `weight_ih_l0` has {of_input}"));
    }
    let hidden = matrix("weight_hr_l0").map_or(columns, |[_, hidden]| hidden);
    match (rows / hidden.max(1), rows % hidden.max(1)) {
        (4, 0) => Ok(Some(Cell::Lstm)),
        (3, 0) => Ok(Some(Cell::Gru)),
        (1, 0) => {
            Err("its layers are of a plain RNN (`nn.RNN`), which is not read: LSTM and GRU layers are".to_owned())
        }
        _ => Err(format!(
            "its layers have {rows} gate sums of {hidden} neurons: neither an LSTM (4 each) nor a GRU (3 each)"
        )),
    }
}

/// The files of a checkpoint, by what they are.
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const PICKLE: &str = "pytorch_model.bin";

/// The files that an index names, each a file beside it.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index_of: Index = serde_json::from_slice(&read(index)?).map_err(|e| invalid(index, format_args!("{e}")))?;
    let files: BTreeSet<String> = index_of.weight_map.into_values().collect();
    match files.iter().find(|name| Path::new(name).file_name().is_none_or(|file| file != name.as_str())) {
        Some(name) => Err(invalid(index, format_args!("`{name}` is no file beside it"))),
        None => Ok(files),
    }
}

/// Where the weights of a directory lie.
enum Found {
    Files(Vec<PathBuf>),
    Pickle(PathBuf),
}

/// `model.safetensors`, its shards by their index, `pytorch_model.bin`; or the only file of weights, whatever it is called.
fn weights_in(directory: &Path) -> Result<Found> {
    let [whole, index, pickle] = [WEIGHTS, INDEX, PICKLE].map(|name| directory.join(name));
    if whole.exists() {
        return Ok(Found::Files(vec![whole]));
    }
    if index.exists() {
        return Ok(Found::Files(shards(&index)?.iter().map(|name| directory.join(name)).collect()));
    }
    if pickle.exists() {
        return Ok(Found::Pickle(pickle));
    }
    let entries = fs::read_dir(directory).map_err(|e| invalid(directory, format_args!("{e}")))?.flatten();
    let files: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
    let ending = |endings: &[&str]| -> Vec<&PathBuf> {
        let is_one = |path: &&PathBuf| path.extension().is_some_and(|end| endings.iter().any(|one| end == *one));
        files.iter().filter(is_one).collect()
    };
    let (safe, mut pickled) = (ending(&["safetensors"]), ending(&["pt", "pth", "bin", "ckpt"]));
    // The state of an optimizer may lie beside it.
    if pickled.len() > 1 && pickled.iter().any(|path| path.file_stem().is_some_and(|name| name == "model")) {
        pickled.retain(|path| path.file_stem().is_some_and(|name| name == "model"));
    }
    match (&*safe, &*pickled) {
        ([file], _) => Ok(Found::Files(vec![PathBuf::clone(file)])),
        ([], [file]) => Ok(Found::Pickle(PathBuf::clone(file))),
        ([], []) => {
            let what = "there are no weights in it: no model.safetensors, no pytorch_model.bin, and no other file that ends in \
                        .safetensors, .pt, .pth, .bin or .ckpt";
            Err(invalid(directory, format_args!("{what}")))
        }
        ([], several) | (several, _) => {
            let name = |path: &&PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let names: Vec<String> = several.iter().map(name).collect();
            let names = listed(names.iter().map(String::as_str));
            let what =
                format_args!("there are several files of weights in it ({names}): a model has a folder of its own");
            Err(invalid(directory, what))
        }
    }
}

/// Names for a message, the first of many.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.take(6).collect();
    if names.len() > 5 {
        names[5] = "...";
    }
    names.join(", ")
}

/// Refuses tensors of other names.
fn only<'a>(path: &Path, says: &str, found: impl IntoIterator<Item = &'a str>, names: &[String]) -> Result<()> {
    let mut unknown: Vec<&str> = found.into_iter().filter(|name| !names.iter().any(|n| n == name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    let unknown = listed(unknown.into_iter());
    Err(invalid(path, format_args!("unexpected tensors for what {says} says: {unknown}")))
}

/// Writes tensors, with one entry of metadata: the order of several, and with it the file's bytes, would not be fixed.
pub(crate) fn write(path: &Path, tensors: Vec<(String, Tensor)>, (key, value): (&str, String)) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::invalid(format!("cannot write {}: {e}", path.display()));
    // `safetensors` puts a temporary file at `path`, which only its owner can read: it is given the permissions that a
    // new file has here.
    let permissions = File::create(path).and_then(|file| file.metadata()).map_err(|e| failed(&e))?.permissions();
    safetensors::serialize_to_file(tensors, Some([(key.to_owned(), value)].into()), path).map_err(|e| failed(&e))?;
    fs::set_permissions(path, permissions).map_err(|e| failed(&e))
}

/// Reads a file that the user named, so that failing is the user's to mend.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_or(0, |file| file.len());
    memory::check("", "reading it", size.into()).map_err(|error| invalid(path, format_args!("{}", error.message())))?;
    fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => invalid(path, format_args!("there is no such file")),
        _ => invalid(path, format_args!("{e}")),
    })
}

/// An error about a file, its path first.
pub(crate) fn invalid(path: &Path, what: std::fmt::Arguments<'_>) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}
