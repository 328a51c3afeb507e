//! State dicts that PyTorch pickled: an archive of numbers, and a pickle that says what they are. Nothing in it is run: candle takes
//! the pickle apart.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use candle_core::pickle::{Object, Stack, TensorInfo};
use candle_core::{DType, Device, Tensor};
use txray_plugin::Result;
use txray_plugin::guard::catch;
use zip::ZipArchive;

use crate::tensors::{invalid, widened};

/// What scripts call the state dict of the model where they keep it beside others.
const USUAL: [&str; 3] = ["state_dict", "model_state_dict", "model"];

type Tensors = BTreeMap<String, TensorInfo>;
/// Of foreign code, of which no more is asked than its words.
type Caught<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A state dict and its file.
pub(crate) struct Pickle {
    pub path: PathBuf,
    tensors: Tensors,
}

impl Pickle {
    pub fn open(path: &Path) -> Result<Self> {
        let found = match catch(|| state_dict(path).map_err(|error| error.to_string())) {
            Ok(found) => found,
            Err(panic) => Err(panic),
        };
        let tensors = found.map_err(|why| {
            let help = "`torch.save(model.state_dict(), ...)` writes one that is, and so does `save_file` of the library safetensors";
            invalid(path, format_args!("not a state dict that is read ({why}); {help}"))
        })?;
        Ok(Self { path: path.to_owned(), tensors })
    }

    /// Its tensors with their shapes.
    pub fn shapes(&self) -> impl Iterator<Item = (&String, &[usize])> {
        self.tensors.iter().map(|(name, info)| (name, info.layout.dims()))
    }

    /// The type of a tensor's values.
    pub fn dtype(&self, name: &str) -> Option<DType> {
        self.tensors.get(name).map(|info| info.dtype)
    }

    /// The values of a tensor in single precision.
    pub fn values(&self, name: &str) -> std::result::Result<Vec<f32>, String> {
        let read = || -> Caught<Vec<f32>> {
            let info = self.tensors.get(name).ok_or("it is not there")?;
            let mut bytes = Vec::new();
            archive(&self.path)?.by_name(&info.path)?.read_to_end(&mut bytes)?;
            let of_one = info.dtype.size_in_bytes();
            let storage = Tensor::from_raw_buffer(&bytes, info.dtype, &[bytes.len() / of_one], &Device::Cpu)?;
            let storage = widened(storage)?;
            // Where in the storage the value lies that is number `index` of the tensor. candle counts the start in bytes, and
            // steps in values.
            let place = |mut index: usize| {
                let axes = info.layout.dims().iter().zip(info.layout.stride()).rev();
                axes.fold(info.layout.start_offset() / of_one, |place, (size, step)| {
                    let along = index % size;
                    index /= size;
                    place.saturating_add(along.saturating_mul(*step))
                })
            };
            let count = info.layout.shape().elem_count();
            let values = (0..count).map(|index| storage.get(place(index)).copied());
            Ok(values.collect::<Option<_>>().ok_or("its numbers end early")?)
        };
        catch(|| read().map_err(|error| error.to_string())).and_then(|read| read)
    }
}

fn archive(path: &Path) -> Caught<ZipArchive<BufReader<File>>> {
    Ok(ZipArchive::new(BufReader::new(File::open(path)?))?)
}

/// Whether a tensor is one of a module's weights, and no mask or counter beside them.
fn is_of_weights(name: &str) -> bool {
    let own = name.rsplit('.').next().unwrap_or_default();
    own.starts_with("weight") || own.starts_with("bias")
}

/// The tensors of the one state dict in a file that has a recurrent layer, wherever it lies among what else a script kept; of
/// several, of the one that is called as usual.
fn state_dict(path: &Path) -> Caught<Tensors> {
    let mut archive = archive(path)?;
    let names: Vec<String> =
        archive.file_names().map(|name| name.map(|name| name.into_owned())).collect::<std::result::Result<_, _>>()?;
    let name = names.iter().find_map(|name| name.strip_suffix(".pkl").filter(|name| name.ends_with("data")));
    let folder = name.ok_or("there is no pickle in it")?;
    let mut stack = Stack::empty();
    stack.read_loop(&mut BufReader::new(archive.by_name(&format!("{folder}.pkl"))?))?;

    let mut found: Vec<(String, Tensors, Vec<String>)> = Vec::new();
    let mut left = vec![(String::new(), stack.finalize()?)];
    while let Some((key, object)) = left.pop() {
        let Object::Dict(entries) = object else { continue };
        let (mut tensors, mut unread) = (Tensors::new(), Vec::new());
        for (name, value) in entries {
            match value {
                Object::Reduce { .. } => match value.into_tensor_info(name.clone(), Path::new(folder)) {
                    Ok(info) => tensors.extend(info.map(|info| (info.name.clone(), info))),
                    Err(_) => unread.extend(name.unicode().ok().filter(|name| is_of_weights(name))),
                },
                _ => left.push((name.unicode().unwrap_or_default(), value)),
            }
        }
        found.extend((!tensors.is_empty()).then_some((key, tensors, unread)));
    }
    let is_recurrent = |tensors: &Tensors| tensors.keys().any(|name| name.contains("weight_hh"));
    if found.iter().any(|(_, tensors, _)| is_recurrent(tensors)) {
        found.retain(|(_, tensors, _)| is_recurrent(tensors));
    }
    if found.len() > 1 && found.iter().any(|(key, ..)| USUAL.contains(&key.as_str())) {
        found.retain(|(key, ..)| USUAL.contains(&key.as_str()));
    }
    match (found.pop(), found.pop()) {
        // Left out, it would be a weight of 0, or a model of less.
        (Some((_, _, unread)), None) if !unread.is_empty() => {
            Err(format!("of a type that is not read is `{}`", unread.join("`, `")).into())
        }
        (Some((_, tensors, _)), None) => Ok(tensors),
        (Some((one, ..)), Some((other, ..))) => Err(format!("there are several in it: `{other}`, `{one}`").into()),
        (None, _) => Err("there is none in it".into()),
    }
}
