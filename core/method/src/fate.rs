//! What became of neurons between two stages.

use serde::{Deserialize, Serialize};

/// What became of a neuron between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Alive in both.
    Shared,
    /// Alive in the first alone.
    Lost,
    /// Alive in the second alone.
    Gained,
    /// Alive in neither.
    Dead,
}

impl Fate {
    /// By whether it is alive in the first stage, and in the second.
    pub fn of(alive_from: bool, alive_to: bool) -> Self {
        match (alive_from, alive_to) {
            (true, true) => Self::Shared,
            (true, false) => Self::Lost,
            (false, true) => Self::Gained,
            (false, false) => Self::Dead,
        }
    }

    /// The fate of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Shared, Self::Lost, Self::Gained, Self::Dead].into_iter().find(|fate| fate.name() == name)
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Dead => "dead",
        }
    }
}

/// How many neurons met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the fates")]
pub struct Fates {
    pub shared: u64,
    pub lost: u64,
    pub gained: u64,
    pub dead: u64,
}
