//! Which units are drawn to which side.

use std::ops::Range;

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::random::Stream;
use txray_plugin::{Error, Host};

use super::observed::Observed;
use crate::error::{MethodError, MethodResult};

/// What is permuted, where there is no change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Design {
    /// One model read two texts: units are pooled and split again. This tests text and response together.
    Pool,
    /// Two models read the same text: in each unit, the two readings are swapped or not, all neurons together.
    Swap,
}

/// Draws that are made side by side, two lanes each.
pub(crate) const LANES: usize = 16;
/// For how much a reading of a unit counts in each lane: 0 or 1.
pub(crate) type Lanes = [f64; LANES];

/// The units of two stages, and the readings of these: a row each of a table of [`Lanes`].
pub(crate) struct Units {
    pub design: Design,
    /// `[sides]`: by the side's own number, the row of its reading.
    pub rows: [Vec<u32>; 2],
    /// Rows of readings of the first side; those of the second follow.
    pub first: usize,
    /// Units that are drawn apart.
    count: usize,
}

impl Units {
    /// # Errors
    /// Units that the two do not share, though they read the same text.
    pub fn new(design: Design, is_one_text: bool, sides: [&Observed; 2]) -> MethodResult<Self> {
        let [from, to] = sides.map(|side| side.units.len());
        match design {
            Design::Pool => {
                let rows = [(0..from as u32).collect(), (from as u32..(from + to) as u32).collect()];
                Ok(Self { design, rows, first: from, count: from + to })
            }
            Design::Swap => {
                let mut numbers: HashMap<&str, u32> = sides[0].units.iter().map(String::as_str).zip(0..).collect();
                let of_from: Vec<u32> = (0..from as u32).collect();
                let mut of_to = Vec::with_capacity(to);
                for unit in &sides[1].units {
                    let next = numbers.len() as u32;
                    of_to.push(*numbers.entry(unit).or_insert(next));
                }
                let count = numbers.len();
                // What one of them lacks is another text, unless it is known to be the same.
                if (count, count) != (from, to) && !is_one_text {
                    let known: [HashSet<&str>; 2] = sides.map(|side| side.units.iter().map(String::as_str).collect());
                    let lacks =
                        |a: usize, b: usize| sides[a].units.iter().find(|unit| !known[b].contains(unit.as_str()));
                    let lacking = lacks(0, 1).or_else(|| lacks(1, 0));
                    return Err(MethodError::OtherText { unit: lacking.cloned().unwrap_or_default() });
                }
                of_to.iter_mut().for_each(|row| *row += count as u32);
                Ok(Self { design, rows: [of_from, of_to], first: count, count })
            }
        }
    }

    /// Rows of a table of lanes.
    pub fn len(&self) -> usize {
        match self.design {
            Design::Pool => self.count,
            Design::Swap => 2 * self.count,
        }
    }

    /// As the stages are, in two lanes.
    pub fn as_they_are(&self, table: &mut [Lanes], lane: usize) {
        for (row, lanes) in table.iter_mut().enumerate() {
            let side = usize::from(row >= self.first);
            (lanes[lane + side], lanes[lane + 1 - side]) = (1.0, 0.0);
        }
    }

    /// As they might have been, in two lanes.
    pub fn draw(&self, seed: u64, index: u64, table: &mut [Lanes], lane: usize) {
        let mut random = Stream::new(seed, "permutation", index);
        match self.design {
            Design::Pool => {
                let mut is_second = vec![false; self.count];
                is_second[self.first..].fill(true);
                random.shuffle(&mut is_second);
                for (row, is_second) in table.iter_mut().zip(is_second) {
                    let side = usize::from(is_second);
                    (row[lane + side], row[lane + 1 - side]) = (1.0, 0.0);
                }
            }
            Design::Swap => {
                for unit in 0..self.count {
                    // The highest bit, as every other, is a coin.
                    let side = (random.next_u32() >> 31) as usize;
                    for (row, side) in [(unit, side), (self.count + unit, 1 - side)] {
                        (table[row][lane + side], table[row][lane + 1 - side]) = (1.0, 0.0);
                    }
                }
            }
        }
    }

    /// Both sides in halves, in four lanes (the halves of the first side, those of the second): the same halves of both, where
    /// they read the same text. Rows that are not `kept` are in none.
    pub fn halves(&self, seed: u64, index: u64, kept: impl Fn(usize) -> bool, table: &mut [Lanes], lane: usize) {
        let halves = |side: u64, count: usize| {
            let mut random = Stream::new(seed, "halves", 2 * index + side);
            let mut is_second: Vec<bool> = (0..count).map(|unit| unit % 2 == 1).collect();
            random.shuffle(&mut is_second);
            is_second
        };
        let from = self.first;
        let first = halves(0, from);
        let second = match self.design {
            Design::Pool => halves(1, self.count - from),
            Design::Swap => first.clone(),
        };
        for (row, lanes) in table.iter_mut().enumerate() {
            let (side, is_second) = if row < from { (0, first[row]) } else { (2, second[row - from]) };
            lanes[lane..lane + 4].fill(0.0);
            if kept(row) {
                lanes[lane + side + usize::from(is_second)] = 1.0;
            }
        }
    }

    /// `[rows]`: each in one of so many blocks, the readings of a unit in the same.
    pub fn blocks(&self, seed: u64, blocks: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.count).map(|unit| unit % blocks).collect();
        Stream::new(seed, "blocks", 0).shuffle(&mut order);
        (0..self.len()).map(|row| order[row % self.count]).collect()
    }
}

/// Makes some of them on all threads, and gives each in their order, unless the user asks to stop.
pub(crate) fn in_order<T: Send>(
    host: &Host<'_>,
    some: Range<u64>,
    make: impl Fn(u64) -> MethodResult<T> + Sync + Send,
    mut each: impl FnMut(T),
) -> MethodResult<()> {
    if host.cancelled() {
        return Err(MethodError::Source(Error::cancelled()));
    }
    let some: Vec<u64> = some.collect();
    for one in some.into_par_iter().map(make).collect::<Vec<_>>() {
        each(one?);
    }
    Ok(())
}
