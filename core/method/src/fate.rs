//! What became of neurons between two stages.

use serde::{Deserialize, Serialize};

/// Below this many observations on a side a distance is mostly noise, and a fate is not told.
pub(crate) const ENOUGH: u64 = 20;

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
    /// Alive in one alone, and too rarely to say that it was lost or gained; of fates that are tested.
    Rare,
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

    /// With evidence, by how often it was observed in each, and whether the change of that is significant.
    pub fn tested(counts: [u64; 2], is_significant: bool) -> Self {
        let is_told = is_significant && counts.iter().any(|&count| count >= ENOUGH);
        match Self::of(counts[0] > 0, counts[1] > 0) {
            Self::Lost | Self::Gained if !is_told => Self::Rare,
            fate => fate,
        }
    }

    /// The fate of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Shared, Self::Lost, Self::Gained, Self::Dead, Self::Rare].into_iter().find(|fate| fate.name() == name)
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Dead => "dead",
            Self::Rare => "rare",
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
    /// Of fates that are tested.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rare: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl FromIterator<Fate> for Fates {
    fn from_iter<T: IntoIterator<Item = Fate>>(all: T) -> Self {
        let mut fates = Self::default();
        for fate in all {
            *match fate {
                Fate::Shared => &mut fates.shared,
                Fate::Lost => &mut fates.lost,
                Fate::Gained => &mut fates.gained,
                Fate::Dead => &mut fates.dead,
                Fate::Rare => &mut fates.rare,
            } += 1;
        }
        fates
    }
}
