//! A row of a file, whatever the file is.

use txray_plugin::{NULL, Result};
use txray_tables::columns::observations;

use super::columns::Place;

/// Rows of a file, one after the other.
pub(super) trait Rows: Send {
    /// Puts the next row in the place of the one before; `false` at the end.
    fn next(&mut self, row: &mut Row) -> Result<bool>;
}

/// What a file says in one place of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a str),
    Integer(i128),
    Float(f64),
    Truth(bool),
}

/// One observation. What the file has no column of stays as it is in a new row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Where it stands in the file, from 1.
    pub number: u64,
    pub doc: u64,
    /// Empty: in none.
    pub group: String,
    pub position: u32,
    pub site: String,
    pub neuron: u32,
    pub activation: f32,
    pub start: u32,
    pub end: u32,
    /// 0: in none.
    pub line: u64,
    /// `[layers]`; empty: none.
    pub features: Vec<String>,
}

impl Row {
    pub fn new(layers: usize) -> Self {
        Self {
            number: 0,
            doc: 0,
            group: String::new(),
            position: 0,
            site: String::new(),
            neuron: 0,
            activation: 0.0,
            start: NULL,
            end: NULL,
            line: 0,
            features: vec![String::new(); layers],
        }
    }

    /// Puts what stands in a column where it belongs.
    ///
    /// # Errors
    /// What cannot stand there, as it reads after "row 1: ".
    pub fn set(&mut self, place: Place, cell: Cell<'_>) -> Result<(), String> {
        /// The greatest place and the greatest neuron: [`NULL`] is none.
        const MOST: u64 = NULL as u64 - 1;
        match place {
            Place::Doc => self.doc = needed(observations::DOC.name, whole(observations::DOC.name, cell, u64::MAX)?)?,
            Place::Group => text(cell, &mut self.group),
            Place::Position => {
                let name = observations::POSITION.name;
                self.position = needed(name, whole(name, cell, MOST)?)? as u32;
            }
            Place::Site => {
                text(cell, &mut self.site);
                if self.site.is_empty() {
                    return Err(format!("it has no `{}`", observations::SITE.name));
                }
            }
            Place::Neuron => {
                let name = observations::NEURON.name;
                self.neuron = needed(name, whole(name, cell, MOST)?)? as u32;
            }
            Place::Activation => self.activation = activation(cell)?,
            Place::Start => self.start = whole(observations::START.name, cell, MOST)?.map_or(NULL, |at| at as u32),
            Place::End => self.end = whole(observations::END.name, cell, MOST)?.map_or(NULL, |at| at as u32),
            Place::Line => self.line = whole(observations::LINE.name, cell, u64::MAX)?.unwrap_or(0),
            Place::Layer(layer) => text(cell, &mut self.features[layer]),
        }
        Ok(())
    }

    /// What the columns of a row say together.
    ///
    /// # Errors
    /// As above.
    pub fn check(&self) -> Result<(), String> {
        let Self { start, end, .. } = self;
        let shown = |at: &u32| if *at == NULL { "nowhere".to_owned() } else { at.to_string() };
        match (*start == NULL) == (*end == NULL) && start <= end {
            true => Ok(()),
            false => Err(format!("the token starts at {} and ends at {}", shown(start), shown(end))),
        }
    }
}

fn needed(name: &str, value: Option<u64>) -> Result<u64, String> {
    value.ok_or_else(|| format!("it has no `{name}`"))
}

fn whole(name: &str, cell: Cell<'_>, most: u64) -> Result<Option<u64>, String> {
    let wrong = |found: &str| Err(format!("`{name}` is {found}, and has to be a whole number from 0 to {most}"));
    let found = match cell {
        Cell::Null | Cell::Text("") => return Ok(None),
        Cell::Text(text) => text.parse().map_err(|_| shown(text)),
        Cell::Integer(integer) => u64::try_from(integer).map_err(|_| integer.to_string()),
        Cell::Float(float) => Err(float.to_string()),
        Cell::Truth(truth) => Err(truth.to_string()),
    };
    match found {
        Ok(value) if value <= most => Ok(Some(value)),
        Ok(value) => wrong(&value.to_string()),
        Err(found) => wrong(&found),
    }
}

/// To the nearest float of 32 bits.
fn activation(cell: Cell<'_>) -> Result<f32, String> {
    let name = observations::ACTIVATION.name;
    let wrong = |found: &str| Err(format!("`{name}` is {found}, and has to be a finite number of 32 bits"));
    let found: f32 = match cell {
        Cell::Null | Cell::Text("") => return Err(format!("it has no `{name}`")),
        Cell::Text(text) => match text.parse() {
            Ok(found) => found,
            Err(_) => return wrong(&shown(text)),
        },
        Cell::Integer(integer) => integer as f32,
        Cell::Float(float) => float as f32,
        Cell::Truth(truth) => return wrong(&truth.to_string()),
    };
    if found.is_finite() {
        return Ok(found);
    }
    match cell {
        Cell::Text(text) => wrong(&shown(text)),
        Cell::Float(float) => wrong(&float.to_string()),
        _ => wrong(&found.to_string()),
    }
}

/// A text as a message may show it.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let start: String = text.chars().take(MOST).collect();
    let more = if start.len() < text.len() { "..." } else { "" };
    format!("`{}{more}`", start.escape_debug())
}

/// Nothing, where there is nothing.
fn text(cell: Cell<'_>, into: &mut String) {
    into.clear();
    match cell {
        Cell::Null => {}
        Cell::Text(text) => into.push_str(text),
        Cell::Integer(integer) => into.push_str(&integer.to_string()),
        Cell::Float(float) => into.push_str(&float.to_string()),
        Cell::Truth(truth) => into.push_str(if truth { "true" } else { "false" }),
    }
}
