//! The features of a layer, numbered once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use txray_plugin::{NULL, StringTable};

/// The features of a layer: each has the number that it got when it first came, until they are ordered by name.
#[derive(Clone, Default)]
pub struct Symbols {
    names: StringTable,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Symbols {
    /// The number of a name, which it is given if it is new.
    pub fn number(&mut self, name: &str) -> u32 {
        let Self { names, numbers, hasher } = self;
        let known = |&number: &u32| names.get(number as usize) == Some(name);
        if let Some(&number) = numbers.find(hasher.hash_one(name), known) {
            return number;
        }
        // 2^32 features would need more than 64 GiB for their names alone.
        let number = u32::try_from(names.push(name)).unwrap_or(NULL);
        let rehash = |&number: &u32| hasher.hash_one(names.get(number as usize).unwrap_or_default());
        numbers.insert_unique(hasher.hash_one(name), number, rehash);
        number
    }

    /// The names, by number.
    pub fn names(&self) -> &StringTable {
        &self.names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of some in rising order, and by number where each came to stand in it: `[symbols]`, [`NULL`] for the others.
    pub fn ordered(&self, some: impl Fn(u32) -> bool) -> (StringTable, Vec<u32>) {
        let name = |number: u32| self.names.get(number as usize).unwrap_or_default();
        let mut order: Vec<u32> = (0..self.len() as u32).filter(|&number| some(number)).collect();
        order.sort_unstable_by_key(|&number| name(number));
        let mut places = vec![NULL; self.len()];
        for (place, &number) in (0..).zip(&order) {
            places[number as usize] = place;
        }
        (order.into_iter().map(name).collect(), places)
    }
}

/// Names alone: the numbers follow from them.
impl std::fmt::Debug for Symbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.names.fmt(f)
    }
}

impl PartialEq for Symbols {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_has_one_number_and_the_order_is_that_of_names(names in prop::collection::vec("[a-cé]{0,3}", 0..40)) {
            let mut symbols = Symbols::default();
            let numbers: Vec<u32> = names.iter().map(|name| symbols.number(name)).collect();
            for (number, name) in numbers.iter().zip(&names) {
                prop_assert_eq!(symbols.names().get(*number as usize), Some(&**name));
                prop_assert_eq!(symbols.number(name), *number);
            }
            let (ordered, places) = symbols.ordered(|_| true);
            let mut expected = names.clone();
            expected.sort();
            expected.dedup();
            prop_assert!(ordered.as_strings().iter().eq(expected.iter().map(String::as_str)));
            for (number, name) in numbers.iter().zip(&names) {
                prop_assert_eq!(ordered.get(places[*number as usize] as usize), Some(&**name));
            }
        }
    }
}
