//! Where files are looked for.

use std::path::{Path, PathBuf};

use crate::error::CorpusError;
use crate::files::other_than_file;

/// Where the relative paths of corpora and annotators are looked for.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    /// The data root (`--data`, `TXRAY_DATA`), which is asked first.
    pub data: Option<PathBuf>,
    /// The folder of the config.
    pub config: PathBuf,
}

impl Resolver {
    /// The file or folder that `path` means: itself when absolute, else the one below the data
    /// root, else the one below the config's folder.
    ///
    /// # Errors
    /// [`CorpusError::Missing`] names every place that was tried.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, CorpusError> {
        let tried: Vec<PathBuf> = if path.is_absolute() {
            vec![path.to_owned()]
        } else {
            let roots = self.data.iter().chain([&self.config]);
            roots.map(|root| root.join(path)).collect()
        };
        if let Some(found) = tried.iter().find(|candidate| candidate.exists()) {
            return Ok(found.clone());
        }
        Err(CorpusError::Missing { path: path.to_owned(), tried, data: self.data.clone() })
    }

    /// Like [`Resolver::resolve`], for a path that has to be a file.
    ///
    /// # Errors
    /// [`CorpusError::Missing`], or [`CorpusError::NotAFile`] for what is no regular file.
    pub fn resolve_file(&self, path: &Path) -> Result<PathBuf, CorpusError> {
        let found = self.resolve(path)?;
        match std::fs::metadata(&found).map(|metadata| other_than_file(&metadata)) {
            Ok(None) => Ok(found),
            Ok(Some(kind)) => Err(CorpusError::NotAFile { path: found, kind }),
            Err(source) => Err(CorpusError::Io { path: found, source }),
        }
    }
}

/// What the pipeline around a corpus tells it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Where its files are looked for.
    pub resolver: &'a Resolver,
    /// The run's seed.
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_root_is_asked_before_the_config_folder() {
        let data = tempfile::tempdir().unwrap();
        let config = tempfile::tempdir().unwrap();
        let resolver = Resolver { data: Some(data.path().to_owned()), config: config.path().to_owned() };
        let path = Path::new("a.txt");
        let Err(CorpusError::Missing { tried, .. }) = resolver.resolve_file(path) else {
            panic!("nothing is there yet");
        };
        assert_eq!(tried, [data.path().join(path), config.path().join(path)]);

        std::fs::write(config.path().join(path), "a").unwrap();
        assert_eq!(resolver.resolve_file(path).unwrap(), config.path().join(path));
        std::fs::write(data.path().join(path), "a").unwrap();
        assert_eq!(resolver.resolve_file(path).unwrap(), data.path().join(path));

        let absolute = config.path().join(path);
        assert_eq!(resolver.resolve_file(&absolute).unwrap(), absolute);
        assert!(matches!(resolver.resolve_file(data.path()), Err(CorpusError::NotAFile { .. })));
    }
    #[test]
    fn a_path_that_leads_nowhere_says_where_to_go() {
        let data = tempfile::tempdir().unwrap();
        let help = |data: Option<&Path>, path: &str| {
            let resolver = Resolver { data: data.map(Path::to_owned), config: PathBuf::from("nowhere") };
            resolver.resolve_file(Path::new(path)).unwrap_err().help().unwrap_or_default()
        };
        assert!(help(None, "a.txt").contains("the pipeline's folder; name the folder"), "{}", help(None, "a.txt"));
        assert!(help(Some(data.path()), "a.txt").contains("the data folder and the pipeline's"));
        assert!(help(Some(&data.path().join("none")), "a.txt").contains("none: name the folder"));
        assert!(help(None, "~/a.txt").contains("write the folder out"));
        assert!(help(None, "$HOME/a.txt").contains("write the folder out"));
        let windows = help(None, "C:\temp\new.txt");
        assert!(windows.starts_with("the path holds `\\t`, `\\n`: in double quotes"), "{windows}");
        assert_eq!(help(None, "/nowhere/a.txt"), "");
    }
}
