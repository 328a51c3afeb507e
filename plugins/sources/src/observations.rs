//! `kind = "observations"`: observations that another program, or another run, left in a file.
//!
//! ```text
//! first line, or schema --> Layout: which column is what
//!            rows --> Row --> Document: its rows by position --> tokens of an ActivationBatch
//! ```

mod columns;
mod document;
mod options;
mod parquet;
mod row;
mod tsv;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hashbrown::HashMap;
use txray_plugin::{ActivationBatch, ActivationSource, Component, Error, Host, Result, Site, SourceDescription};
use txray_tables::{ForeignTable, TableError};

use columns::{Layout, Place};
use document::{Document, Filling, Seen};
use options::{Options, Width};
use row::{Row, Rows};

/// A batch ends with the document that fills it.
const ROWS: usize = 1 << 16;
const DOCUMENTS: usize = 1 << 10;

/// The most rows of a document, which is held whole: some gigabytes.
const LONGEST: usize = 1 << 26;

/// What a host takes of a source: sites, the bytes of their names, and neurons.
const MOST_SITES: usize = 1 << 16;
const LONGEST_SITE: usize = 256;
const MOST_NEURONS: usize = 1 << 24;

/// How many rows are read between two looks at whether to stop.
const PATIENCE: usize = 1 << 14;

/// Observations that stand in a file.
pub struct Observations {
    table: Table,
    options: Options,
    described: OnceLock<SourceDescription>,
    reading: Option<Reading>,
    /// After an error nothing more is read.
    failed: Option<Error>,
}

/// A file whose columns are known.
struct Table {
    path: PathBuf,
    is_parquet: bool,
    layout: Layout,
}

/// How far a file is read.
struct Reading {
    rows: Box<dyn Rows>,
    /// The first row of the next document; none at the end.
    next: Option<Row>,
    sites: HashMap<String, u32>,
    widths: Vec<usize>,
    seen: Seen,
    document: Document,
    tokens: u64,
}

impl Component for Observations {
    const KIND: &'static str = "observations";
    const ABOUT: &'static str = "observations that another program, or another run, left in a file";
    type Options = Options;

    /// Looks at the columns, and at the first row.
    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        if options.site.as_ref().is_some_and(String::is_empty) {
            return Err(Error::at("/site", "a site has a name"));
        }
        let table = Table::open(Path::new(&options.path), options.layers.as_deref())?;
        if !table.rows(&table.layout)?.next(&mut Row::new(table.layout.layers.len()))? {
            let what = "it has no observations: nothing follows the names of its columns";
            return Err(refused(&table.path, what));
        }
        match (&options.site, &options.width, table.layout.has(Place::Site)) {
            (Some(_), _, true) => Err(Error::at("/site", "the file has a column `site`")),
            (_, Some(Width::BySite(_)), false) => {
                Err(Error::at("/width", "one number is enough: the file has no column `site`, so there is one site"))
            }
            _ => Ok(Self { table, options, described: OnceLock::new(), reading: None, failed: None }),
        }
    }
}

impl ActivationSource for Observations {
    /// What no option says is found by reading the file once.
    fn describe(&self) -> Result<SourceDescription> {
        if let Some(described) = self.described.get() {
            return Ok(described.clone());
        }
        let one = || self.options.site.clone().unwrap_or_else(|| options::SITE.to_owned());
        let has_sites = self.table.layout.has(Place::Site);
        let sites = match &self.options.width {
            Some(Width::BySite(widths)) => widths.clone(),
            Some(Width::One(width)) if !has_sites => vec![(one(), *width)],
            Some(Width::One(width)) => self.table.sites()?.into_iter().map(|(site, _)| (site, *width)).collect(),
            None if has_sites => self.table.sites()?,
            None => self.table.sites()?.into_iter().map(|(_, width)| (one(), width)).collect(),
        };
        let sites: Vec<Site> = sites.into_iter().map(|(name, width)| Site { name, width }).collect();
        self.fit(&sites)?;
        let described = SourceDescription { sites, layers: self.table.layout.layers.clone() };
        Ok(self.described.get_or_init(|| described).clone())
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let batch = self.read(host);
        self.failed = batch.as_ref().err().cloned();
        batch
    }
}

impl Observations {
    /// What no host would take of a source is a fault of the file, or of an option, and told as theirs.
    fn fit(&self, sites: &[Site]) -> Result<()> {
        let wrong = |what: String| match (&self.options.width, &self.options.site) {
            (Some(_), _) => Err(Error::at("/width", what)),
            (None, Some(_)) => Err(Error::at("/site", what)),
            (None, None) => Err(refused(&self.table.path, what)),
        };
        if sites.len() > MOST_SITES {
            return wrong(format!("there are {} sites, and {MOST_SITES} is the most", sites.len()));
        }
        let is_bidirectional =
            |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_unseen = |c: char| c.is_control() || is_bidirectional(c);
        let cannot_be =
            |site: &&Site| site.name.is_empty() || site.name.len() > LONGEST_SITE || site.name.contains(is_unseen);
        if let Some(site) = sites.iter().find(cannot_be) {
            let start: String = site.name.chars().take(40).collect();
            let rule = format!("a site has a name of at most {LONGEST_SITE} characters, and none that cannot be seen");
            return wrong(format!("a site is called `{}`: {rule}", start.escape_debug()));
        }
        let neurons = sites.iter().fold(0_usize, |sum, site| sum.saturating_add(site.width));
        match neurons > MOST_NEURONS {
            true => wrong(format!("there are {neurons} neurons, and {MOST_NEURONS} is the most")),
            false => Ok(()),
        }
    }

    fn read(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let described = self.describe()?;
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => none.insert(Reading::begin(&self.table, &described)?),
        };
        let mut filling = Filling::new(&self.table.layout, self.table.unit());
        while filling.documents() < DOCUMENTS && filling.rows() < ROWS && reading.document(&self.table, host)? {
            let has_group = self.table.layout.has(Place::Group);
            filling.add(&reading.document, has_group).map_err(|(number, what)| self.table.wrong(number, what))?;
        }
        if filling.documents() == 0 {
            return Ok(None);
        }
        let batch = filling.finish(&self.table.layout);
        reading.tokens += batch.starts.len() as u64;
        host.progress(reading.tokens, 0, "");
        Ok(Some(batch))
    }
}

impl Reading {
    fn begin(table: &Table, described: &SourceDescription) -> Result<Self> {
        let sites = described.sites.iter().zip(0..).map(|(site, index)| (site.name.clone(), index));
        let mut reading = Self {
            rows: table.rows(&table.layout)?,
            next: None,
            sites: sites.collect(),
            widths: described.sites.iter().map(|site| site.width).collect(),
            seen: Seen::default(),
            document: Document::new(table.layout.has(Place::Position)),
            tokens: 0,
        };
        let mut row = Row::new(table.layout.layers.len());
        reading.next = reading.rows.next(&mut row)?.then_some(row);
        Ok(reading)
    }

    /// Takes the rows of the next document; `false` at the end.
    fn document(&mut self, table: &Table, host: &Host<'_>) -> Result<bool> {
        let Some(mut row) = self.next.take() else { return Ok(false) };
        if !self.seen.insert(row.doc) {
            let what = format!("document {} begins again: the rows of a document have to stand together", row.doc);
            return Err(table.wrong(row.number, what));
        }
        self.document.begin(&row);
        loop {
            let site = self.site(table, &row)?;
            self.document.push(&row, site).map_err(|what| table.wrong(row.number, what))?;
            if self.document.len() > LONGEST {
                let what = format!("document {} has more than {LONGEST} rows, and is held whole", row.doc);
                return Err(table.wrong(row.number, what));
            }
            if self.document.len().is_multiple_of(PATIENCE) && host.cancelled() {
                return Err(Error::cancelled());
            }
            let of = row.doc;
            if !self.rows.next(&mut row)? {
                return Ok(true);
            }
            if row.doc != of {
                self.next = Some(row);
                return Ok(true);
            }
        }
    }

    /// The index of a row's site, which has the row's neuron.
    fn site(&self, table: &Table, row: &Row) -> Result<u32> {
        let at_width = |what: String| Err(Error::at("/width", table.place(row.number, what)));
        let site = match table.layout.has(Place::Site) {
            false => 0,
            true => match self.sites.get(&row.site) {
                Some(&site) => site,
                None => return at_width(format!("the site `{}` is not among them", row.site.escape_debug())),
            },
        };
        match self.widths.get(site as usize) {
            Some(&width) if (row.neuron as usize) < width => Ok(site),
            width => at_width(format!("there is neuron {}, of {}", row.neuron, width.copied().unwrap_or(0))),
        }
    }
}

impl Table {
    fn open(path: &Path, layers: Option<&[String]>) -> Result<Self> {
        let is_parquet = ForeignTable::is_one(path).map_err(|error| match error {
            TableError::Io { source, .. } => refused(path, format!("cannot read it: {source}")),
            other => refused(path, other),
        })?;
        let columns = if is_parquet { parquet::columns(path) } else { tsv::columns(path) }?;
        let layout = Layout::of(&columns, layers).map_err(|error| match error.pointer() {
            "/path" => refused(path, error.message()),
            _ => error,
        })?;
        Ok(Self { path: path.to_owned(), is_parquet, layout })
    }

    fn rows(&self, layout: &Layout) -> Result<Box<dyn Rows>> {
        match self.is_parquet {
            true => parquet::rows(&self.path, &layout.places),
            false => tsv::rows(&self.path, &layout.places),
        }
    }

    /// The sites in the order in which they are first seen, each with the neurons up to the largest.
    fn sites(&self) -> Result<Vec<(String, usize)>> {
        let layout = self.layout.only(&[Place::Site, Place::Neuron]);
        let (mut rows, mut row) = (self.rows(&layout)?, Row::new(0));
        let (mut sites, mut numbers) = (Vec::new(), HashMap::new());
        while rows.next(&mut row)? {
            let width = row.neuron as usize + 1;
            match numbers.get(&row.site) {
                Some(&site) => {
                    let (_, widest): &mut (String, usize) = &mut sites[site];
                    *widest = width.max(*widest);
                }
                None => {
                    numbers.insert(row.site.clone(), sites.len());
                    sites.push((row.site.clone(), width));
                }
            }
        }
        Ok(sites)
    }

    /// What a row is called.
    fn unit(&self) -> &'static str {
        if self.is_parquet { parquet::UNIT } else { tsv::UNIT }
    }

    fn place(&self, number: u64, what: impl Display) -> String {
        format!("{}: {}", self.path.display(), at(self.unit(), number, what))
    }

    fn wrong(&self, number: u64, what: impl Display) -> Error {
        Error::at("/path", self.place(number, what))
    }
}

/// What is wrong with a file.
fn refused(path: &Path, what: impl Display) -> Error {
    Error::at("/path", format!("{}: {what}", path.display()))
}

/// What is wrong in one place of it.
fn at(unit: &str, number: u64, what: impl Display) -> String {
    format!("{unit} {number}: {what}")
}
