//! What steps are called among those of their kind.

use std::fmt;

use txray_config::Name;

/// What a step is called among those of its kind: by the name of its table; and where that has replicates, or comes to
/// checkpoints, by the seed and the epoch of one: `lm`, `lm#2`, `lm@1`, `lm#2@1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepName {
    /// The name of its table.
    pub name: Name,
    /// The seed of a replicate; none: the first, or the only one.
    pub replicate: Option<u64>,
    /// The number of a checkpoint; none: the last.
    pub checkpoint: Option<u64>,
}

impl From<&Name> for StepName {
    fn from(name: &Name) -> Self {
        Self { name: name.clone(), replicate: None, checkpoint: None }
    }
}

impl From<&StepName> for StepName {
    fn from(name: &StepName) -> Self {
        name.clone()
    }
}

impl StepName {
    /// That of one of its checkpoints.
    #[must_use]
    pub fn at(&self, checkpoint: u64) -> Self {
        Self { checkpoint: Some(checkpoint), ..self.clone() }
    }

    /// That of one of its replicates.
    #[must_use]
    pub fn replicate(&self, seed: u64) -> Self {
        Self { replicate: Some(seed), ..self.clone() }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        self.replicate.iter().try_for_each(|seed| write!(f, "#{seed}"))?;
        self.checkpoint.iter().try_for_each(|number| write!(f, "@{number}"))
    }
}
