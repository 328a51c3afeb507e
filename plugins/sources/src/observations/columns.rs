//! What the columns of a file tell.

use txray_plugin::{Error, Result};
use txray_tables::Column as TableColumn;
use txray_tables::columns::observations;

/// A column of a file.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    pub holds: Holds,
}

/// What stands in a column, as far as its file says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A file of text does not say: each field is looked at.
    Anything,
    Text,
    Integers,
    Floats,
    Truths,
    /// What no column here can hold, in the file's own word.
    Other(String),
}

impl Holds {
    fn name(&self) -> &str {
        match self {
            Self::Anything => "anything",
            Self::Text => "text",
            Self::Integers => "integers",
            Self::Floats => "floats",
            Self::Truths => "truths",
            Self::Other(name) => name,
        }
    }
}

/// What a column is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Doc,
    Group,
    Position,
    Site,
    Neuron,
    Activation,
    Start,
    End,
    Line,
    /// The layer of that index.
    Layer(usize),
}

/// The places that have a column of their own name, which no layer can have.
const OWN: [(TableColumn, Place); 9] = [
    (observations::DOC, Place::Doc),
    (observations::GROUP, Place::Group),
    (observations::POSITION, Place::Position),
    (observations::SITE, Place::Site),
    (observations::NEURON, Place::Neuron),
    (observations::ACTIVATION, Place::Activation),
    (observations::START, Place::Start),
    (observations::END, Place::End),
    (observations::LINE, Place::Line),
];

impl Place {
    fn own(name: &str) -> Option<Self> {
        OWN.iter().find(|(column, _)| column.name == name).map(|(_, place)| *place)
    }

    fn takes(self, holds: &Holds) -> Result<(), &'static str> {
        let (is_good, meant) = match self {
            Self::Group | Self::Layer(_) => {
                (matches!(holds, Holds::Text | Holds::Integers | Holds::Truths), "text, integers or truths")
            }
            Self::Site => (*holds == Holds::Text, "text"),
            Self::Activation => (*holds == Holds::Floats, "floats"),
            Self::Doc | Self::Position | Self::Neuron | Self::Start | Self::End | Self::Line => {
                (*holds == Holds::Integers, "integers")
            }
        };
        if is_good || *holds == Holds::Anything { Ok(()) } else { Err(meant) }
    }
}

/// What is read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// `[columns]`: what each is of; none: it is not read.
    pub places: Vec<Option<Place>>,
    /// The layers of features.
    pub layers: Vec<String>,
}

impl Layout {
    /// Finds the columns that there have to be, and the layers: those that are asked for, else every other column that has, or may
    /// have, text.
    ///
    /// # Errors
    /// Columns that are not there, stand twice or hold something else, by the option that is at fault.
    pub fn of(columns: &[Column], layers: Option<&[String]>) -> Result<Self> {
        let refused = |what: String| Err(Error::at("/path", what));
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(twice) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return refused(format!("its column `{}` stands twice", names[twice].escape_debug()));
        }
        let has = |name: &str| names.contains(&name);
        let needed = [observations::DOC, observations::NEURON, observations::ACTIVATION];
        if let Some(missing) = needed.iter().find(|column| !has(column.name)) {
            return refused(format!("it has no column `{}`; {}", missing.name, those(&names)));
        }
        let ends = [observations::START.name, observations::END.name];
        for (one, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            if has(one) && !has(other) {
                return refused(format!("it has a column `{one}`, and none `{other}`"));
            }
        }
        let layers = match layers {
            Some(layers) => {
                asked(layers, &names)?;
                layers.to_vec()
            }
            None => {
                let others = columns.iter().filter(|column| {
                    Place::own(&column.name).is_none() && matches!(column.holds, Holds::Text | Holds::Anything)
                });
                others.map(|column| column.name.clone()).collect()
            }
        };
        if layers.is_empty() {
            return refused(format!("it has no column of features; {}", those(&names)));
        }
        if let Some(layer) = layers.iter().find(|layer| !is_name(layer)) {
            let help = "letters (a to z), digits, `.`, `_` and `-`, of which `.` and `-` do not come first, 64 at most";
            let shown = layer.escape_debug();
            return refused(format!(
                "its column `{shown}` cannot name a layer: names have {help}; `layers` can leave it out"
            ));
        }
        let mut places = Vec::with_capacity(columns.len());
        for Column { name, holds } in columns {
            let layer = || layers.iter().position(|layer| layer == name).map(Place::Layer);
            let place = Place::own(name).or_else(layer);
            if let Some(meant) = place.and_then(|place| place.takes(holds).err()) {
                return refused(format!("its column `{name}` holds {}, and has to hold {meant}", holds.name()));
            }
            places.push(place);
        }
        Ok(Self { places, layers })
    }

    /// The same, of these places alone.
    pub fn only(&self, places: &[Place]) -> Self {
        let kept = self.places.iter().map(|place| place.filter(|place| places.contains(place)));
        Self { places: kept.collect(), layers: Vec::new() }
    }

    pub fn has(&self, place: Place) -> bool {
        self.places.contains(&Some(place))
    }
}

/// Holds the layers that are asked for to the columns that there are.
fn asked(layers: &[String], names: &[&str]) -> Result<()> {
    for (index, layer) in layers.iter().enumerate() {
        let refused = |what: String| Err(Error::at(format!("/layers/{index}"), what));
        if Place::own(layer).is_some() {
            return refused(format!("no layer can be called `{layer}`: that column is something else"));
        }
        if layers[..index].contains(layer) {
            return refused(format!("the layer `{layer}` is named twice"));
        }
        if !names.contains(&layer.as_str()) {
            return refused(format!("there is no column `{layer}`; {}", those(names)));
        }
    }
    match layers.is_empty() {
        true => Err(Error::at("/layers", "a stage needs at least one layer")),
        false => Ok(()),
    }
}

/// What columns there are, for people.
fn those(names: &[&str]) -> String {
    /// Beyond so many, nobody reads.
    const MOST: usize = 40;
    let list: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.escape_debug())).collect();
    let more = if names.len() > MOST { ", ..." } else { "" };
    let hint = match names {
        [only] if only.contains([',', ';']) => " (columns are separated by tabs)",
        _ => "",
    };
    format!("it has {}{more}{hint}", list.join(", "))
}

/// Whether a layer can be called so: it becomes a column, and a part of others' names.
fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.chars().all(is_allowed) && !name.starts_with(['.', '-']) && name.len() <= 64
}
