//! How much each label counts in a training loss.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use txray_plugin::{Error, Result};

const BALANCED: &str = "balanced";

/// How much each label counts in the training loss.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// In inverse proportion to how often it occurs.
    Balanced,
    /// `[labels]`: as much as said.
    Given(Vec<f64>),
}

impl ClassWeights {
    /// `[labels]`: how much each counts, given how often it occurs in training. One that never does counts for nothing.
    ///
    /// # Errors
    /// There are not as many weights as labels, or those of all labels that occur are 0.
    pub(crate) fn of(&self, counts: &[u64]) -> Result<Vec<f32>> {
        let (all, classes) = (counts.iter().sum::<u64>() as f64, counts.len());
        let balanced = |&count: &u64| if count == 0 { 0.0 } else { (all / (classes as f64 * count as f64)) as f32 };
        let weights: Vec<f32> = match self {
            Self::Balanced => counts.iter().map(balanced).collect(),
            Self::Given(weights) if weights.len() != classes => {
                let what = format!("there are {} of them, and {classes} labels", weights.len());
                return Err(Error::at("/train/class_weights", what));
            }
            Self::Given(weights) => weights.iter().map(|&weight| weight as f32).collect(),
        };
        match weights.iter().zip(counts).any(|(&weight, &count)| weight > 0.0 && count > 0) {
            true => Ok(weights),
            false => Err(Error::at("/train/class_weights", "that of every label that occurs in training is 0")),
        }
    }

    /// Refuses what is no weight.
    pub(crate) fn validate(&self) -> Result<()> {
        let Self::Given(weights) = self else { return Ok(()) };
        match weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            Some(k) => {
                let what = format!("{} is not a finite number of at least 0", weights[k]);
                Err(Error::at(format!("/train/class_weights/{k}"), what))
            }
            None => Ok(()),
        }
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "enum": [BALANCED] },
                { "type": "array", "items": { "type": "number", "minimum": 0 } },
            ]
        })
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => serializer.serialize_str(BALANCED),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

/// By hand: of an untagged enum, serde does not tell what is wrong.
impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{BALANCED}`, or a list of a number for each label")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<ClassWeights, E> {
                match word == BALANCED {
                    true => Ok(ClassWeights::Balanced),
                    false => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ClassWeights, A::Error> {
                let mut weights = Vec::new();
                while let Some(weight) = list.next_element()? {
                    weights.push(weight);
                }
                match weights.is_empty() {
                    true => Err(A::Error::invalid_length(0, &self)),
                    false => Ok(ClassWeights::Given(weights)),
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2])
        let found = ClassWeights::Balanced.of(&[6, 3, 1]).unwrap();
        for (found, expected) in found.iter().zip([5.0 / 9.0, 10.0 / 9.0, 10.0 / 3.0]) {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
        assert_eq!(ClassWeights::Balanced.of(&[4, 0]).unwrap(), [0.5, 0.0]);
    }

    #[test]
    fn weights_fit_the_labels() {
        let given = ClassWeights::Given(vec![1.0, 0.0]);
        assert_eq!(given.of(&[1, 1]).unwrap(), [1.0, 0.0]);
        assert!(given.of(&[1, 1, 1]).unwrap_err().message().contains("2 of them, and 3 labels"));
        assert!(given.of(&[0, 5]).is_err());
    }

    #[test]
    fn they_read_as_they_are_written() {
        for (json, weights) in
            [("\"balanced\"", ClassWeights::Balanced), ("[1.0,2.5]", ClassWeights::Given(vec![1.0, 2.5]))]
        {
            assert_eq!(serde_json::from_str::<ClassWeights>(json).unwrap(), weights);
            assert_eq!(serde_json::to_string(&weights).unwrap(), json);
        }
        for (json, why) in
            [("\"equal\"", "expected `balanced`"), ("[]", "a number for each"), ("[\"a\"]", "f64"), ("7", "list")]
        {
            let error = serde_json::from_str::<ClassWeights>(json).unwrap_err();
            assert!(error.to_string().contains(why), "{json}: {error}");
        }
    }
}
