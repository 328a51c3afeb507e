//! Runs of a part of every stage's documents, on machines of their own, and the run that is made of all such parts.
//!
//! A shard's out directory has the tables of its part of each stage, with the exact sums that merge. What is merged has the bytes of
//! one run over all documents; the steps that follow from stages are made then.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use txray_plugin::Host;
use txray_tables::{Input, Manifest, PluginRecord, ShardRecord, StepRecord, instructions};

use crate::error::{Error, Result};
use crate::files::{copy, hash};
use crate::out::{MANIFEST, OutPath};

/// A part of every stage's documents: `2/8`, the second of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    index: u64,
    of: u64,
}

/// The most parts that a run is read in.
const MOST: u64 = 1 << 16;

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((index, of)) if Self::is_one(index, of) => Ok(Self { index, of }),
            _ => Err(format!("a part and how many there are, such as 1/4 to 4/4, and {MOST} at most")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Shard {
    fn is_one(index: u64, of: u64) -> bool {
        (1..=MOST).contains(&of) && (1..=of).contains(&index)
    }

    /// Of a run that is repeated.
    pub fn again(record: &ShardRecord) -> Option<Self> {
        Self::is_one(record.index, record.of).then_some(Self { index: record.index, of: record.of })
    }

    /// Which of so many documents are its own: parts are as equal as can be, and together are all.
    pub fn documents(self, all: u64) -> Range<u64> {
        let until = |index: u64| (u128::from(all) * u128::from(index) / u128::from(self.of)) as u64;
        until(self.index - 1)..until(self.index)
    }

    /// As a manifest has it.
    pub(crate) fn record(self, program: &str) -> ShardRecord {
        ShardRecord { index: self.index, of: self.of, program: program.to_owned() }
    }
}

/// The out directories of all parts of a run, in their order.
#[derive(Debug)]
pub struct Parts {
    parts: Vec<(PathBuf, Manifest)>,
}

impl Parts {
    /// Reads what the parts say of themselves, and holds them against each other.
    ///
    /// # Errors
    /// Directories that no shard left; parts that are missing, or there twice; parts that differ in anything that their tables
    /// depend on, with what it is.
    pub fn read(directories: &[PathBuf]) -> Result<Self> {
        let mut by_index: BTreeMap<u64, (PathBuf, Manifest, ShardRecord)> = BTreeMap::new();
        for directory in directories {
            let (manifest, is_sealed) = Manifest::read_with_seal(&directory.join(MANIFEST))?;
            let Some(shard) = manifest.shard.clone() else {
                return Err(parts(format!("{} is of a whole run, and not of a shard", directory.display())));
            };
            if !is_sealed || Shard::again(&shard).is_none() {
                let path = directory.join(MANIFEST);
                return Err(parts(format!("{} is not as its run left it", path.display())));
            }
            if let Some((before, ..)) = by_index.get(&shard.index) {
                let (before, directory) = (before.display(), directory.display());
                return Err(parts(format!("{before} and {directory} are both of the shard {}", shard.index)));
            }
            by_index.insert(shard.index, (directory.clone(), manifest, shard));
        }
        let all: Vec<_> = by_index.into_values().collect();
        let Some((first, like, of)) = all.first() else {
            return Err(parts("no directory of a shard is named".to_owned()));
        };
        for (directory, manifest, shard) in &all[1..] {
            if let Some(what) = difference((like, of), (manifest, shard)) {
                let (first, directory) = (first.display(), directory.display());
                return Err(parts(format!("{first} and {directory} are not parts of one run: {what}")));
            }
        }
        let missing: Vec<String> = (1..=of.of)
            .filter(|index| all.iter().all(|(.., shard)| shard.index != *index))
            .map(|index| format!("{index}/{}", of.of))
            .collect();
        if !missing.is_empty() {
            let shown = missing.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            let more = if missing.len() > 8 { format!(" and {} more", missing.len() - 8) } else { String::new() };
            return Err(parts(format!("these shards are missing: {shown}{more}")));
        }
        Ok(Self { parts: all.into_iter().map(|(directory, manifest, _)| (directory, manifest)).collect() })
    }

    /// The manifest of one of them, whose pipeline is that of all.
    pub fn manifest(&self) -> PathBuf {
        self.parts[0].0.join(MANIFEST)
    }

    /// The program that made them, by its hash.
    fn program(&self) -> &str {
        self.parts[0].1.shard.as_ref().map_or("", |shard| &shard.program)
    }

    /// Every file that they are made of: none of them is ever replaced.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.parts.iter().flat_map(|(directory, manifest)| {
            let outputs = manifest.outputs.iter().map(|output| directory.join(&output.path));
            outputs.chain([directory.join(MANIFEST)])
        })
    }

    /// Refuses to go on by another program or other plugins, on another processor, or over other texts, than the parts were made by
    /// and of.
    pub(crate) fn check(&self, program: &str, plugins: &[PluginRecord], inputs: &[Input]) -> Result<()> {
        let first = &self.parts[0].1;
        if self.program() != program {
            return Err(parts("they were made by another build of txray than this one: merge them by that".to_owned()));
        }
        if first.instructions != instructions() {
            let (theirs, ours) = (&first.instructions, instructions());
            return Err(parts(format!(
                "they were made with the instruction set {theirs}, and this machine has {ours}"
            )));
        }
        let is_same = |a: &PluginRecord, b: &PluginRecord| (&a.name, &a.sha256) == (&b.name, &b.sha256);
        if let Some(other) = plugins.iter().find(|plugin| !first.plugins.iter().any(|of| is_same(of, plugin))) {
            let name = &other.name;
            return Err(parts(format!("the plugin `{name}` is another library than it was when they were made")));
        }
        // What no stage reads, they did not read; and their folders may have been others.
        let is_other = |input: &&Input| {
            let mut like = first.inputs.iter().filter(|of| of.path.file_name() == input.path.file_name()).peekable();
            like.peek().is_some() && like.all(|of| of.sha256 != input.sha256)
        };
        match inputs.iter().find(is_other) {
            Some(input) => Err(parts(format!("{} is not what it was when they were made", input.path.display()))),
            None => Ok(()),
        }
    }

    /// What each part says of the step of this name.
    pub fn records(&self, id: String) -> impl Iterator<Item = &StepRecord> {
        self.parts.iter().filter_map(move |(_, manifest)| manifest.steps.iter().find(|record| record.name == id))
    }

    /// The folder that a step published into in each part, every file of which is held against its hash.
    pub fn folders(&self, to: &OutPath, host: &Host<'_>) -> Result<Vec<PathBuf>> {
        self.parts.iter().map(|(directory, manifest)| checked(directory, manifest, to, host)).collect()
    }

    /// Copies what the first part published at a place into a folder, every file held against its hash.
    pub(crate) fn copy(&self, from: &OutPath, to: &Path, host: &Host<'_>) -> Result<()> {
        let (directory, manifest) = &self.parts[0];
        let folder = checked(directory, manifest, from, host)?;
        std::fs::create_dir_all(to).map_err(|error| Error::disk("write", to, error))?;
        for file in files_below(manifest, from) {
            let name = file.strip_prefix(from.as_str()).unwrap_or(file).trim_start_matches('/');
            let (from, to) = (folder.join(name), to.join(name));
            copy(&from, &to, host).map_err(|error| Error::disk("copy", &from, error))?;
        }
        Ok(())
    }
}

/// The files that a run left below a path of its out directory.
fn files_below<'m>(manifest: &'m Manifest, path: &OutPath) -> impl Iterator<Item = &'m str> {
    let prefix = format!("{}/", path.as_str());
    manifest.outputs.iter().map(|output| output.path.as_str()).filter(move |output| output.starts_with(&prefix))
}

/// The folder of a part, of which every file has the bytes that its run left.
fn checked(directory: &Path, manifest: &Manifest, path: &OutPath, host: &Host<'_>) -> Result<PathBuf> {
    for file in files_below(manifest, path) {
        let at = directory.join(file);
        let found = hash(&at, host).map_err(|error| Error::disk("read", &at, error))?;
        let is_same = manifest.outputs.iter().any(|output| output.path == file && output.sha256 == found.sha256);
        if !is_same {
            return Err(parts(format!("{} is not as its run left it", at.display())));
        }
    }
    Ok(directory.join(path.as_str()))
}

/// What two parts differ in, of all that their tables depend on.
fn difference(a: (&Manifest, &ShardRecord), b: (&Manifest, &ShardRecord)) -> Option<String> {
    let ((a, of), (b, other)) = (a, b);
    let differ = |what: &str, a: &dyn fmt::Display, b: &dyn fmt::Display| {
        Some(format!("{what} is {a} in one, {b} in the other"))
    };
    if of.of != other.of {
        return differ("the number of shards", &of.of, &other.of);
    }
    if of.program != other.program || a.version != b.version {
        return Some("they were made by different builds of txray".to_owned());
    }
    if a.instructions != b.instructions {
        return differ("the instruction set", &a.instructions, &b.instructions);
    }
    if a.seed != b.seed {
        return differ("the seed", &a.seed, &b.seed);
    }
    if a.device != b.device {
        return differ("the device", &a.device, &b.device);
    }
    if a.settings != b.settings {
        return Some(format!("the pipeline differs{}", first_key(&a.settings, &b.settings)));
    }
    let plugins = |manifest: &Manifest| -> Vec<(String, Option<String>)> {
        manifest.plugins.iter().map(|plugin| (plugin.name.clone(), plugin.sha256.clone())).collect()
    };
    if let Some((name, _)) = plugins(a).into_iter().find(|plugin| !plugins(b).contains(plugin)) {
        return Some(format!("the plugin `{name}` is another library"));
    }
    if plugins(a).len() != plugins(b).len() {
        return Some("they had different plugins".to_owned());
    }
    let input = |one: &Manifest, other: &Manifest| {
        let is_there = |hash: &str| other.inputs.iter().any(|input| input.sha256 == hash);
        one.inputs.iter().find(|input| !is_there(&input.sha256)).map(|input| input.path.display().to_string())
    };
    if let Some(path) = input(a, b).or_else(|| input(b, a)) {
        return Some(format!("they read different files as {path}"));
    }
    let weights = |manifest: &Manifest| -> BTreeMap<String, String> {
        let models = manifest.outputs.iter().filter(|output| output.path.starts_with("models/"));
        models.map(|output| (output.path.clone(), output.sha256.clone())).collect()
    };
    let (a, b) = (weights(a), weights(b));
    let other = a.iter().find(|(path, hash)| b.get(*path) != Some(*hash)).map(|(path, _)| path);
    other.or_else(|| b.keys().find(|path| !a.contains_key(*path))).map(|path| {
        format!("{path} differs, because each trained its own: train once, and let all shards share a --store")
    })
}

/// The first key that two tables differ at, as the end of a sentence.
fn first_key(a: &serde_json::Value, b: &serde_json::Value) -> String {
    let mut path = String::new();
    let (mut a, mut b) = (a, b);
    while let (Some(one), Some(other)) = (a.as_object(), b.as_object()) {
        let keys = one.keys().chain(other.keys());
        let Some(key) = keys.into_iter().find(|key| one.get(*key) != other.get(*key)) else { break };
        path += if path.is_empty() { "" } else { "." };
        path += key;
        match (one.get(key), other.get(key)) {
            (Some(one), Some(other)) => (a, b) = (one, other),
            _ => break,
        }
    }
    if path.is_empty() { path } else { format!(" in `{path}`") }
}

fn parts(what: String) -> Error {
    Error::Parts { what }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shard_is_one_of_as_many_as_there_are() {
        assert_eq!("2/8".parse(), Ok(Shard { index: 2, of: 8 }));
        for text in ["", "2", "0/3", "4/3", "a/3", "1/0", "1/2/3", "1/70000", "-1/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shards_are_all_documents_each_once(all in prop_oneof![0..50u64, any::<u64>()], of in 1..40u64) {
            let mut end = 0;
            let mut sizes = Vec::new();
            for index in 1..=of {
                let documents = Shard { index, of }.documents(all);
                prop_assert_eq!(documents.start, end);
                sizes.push(documents.end - documents.start);
                end = documents.end;
            }
            prop_assert_eq!(end, all);
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }
}
