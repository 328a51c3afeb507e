//! What a record rule keeps, by number: columns, whose numbers a [`Legend`] explains.

use std::sync::Arc;

use arrow_array::types::{Float32Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float32Array, StringArray, UInt32Array, UInt64Array};
use txray_plugin::{ActivationBatch, NULL, Site, SourceDescription, StringTable};
use txray_tables::columns::observations;
use txray_tables::{Batch, Folder, ROWS, TableResult, TableWriter};

use crate::error::{MethodError, MethodResult};
use crate::record::{Kept, RecordRule};
use crate::symbols::Symbols;

/// What the numbers in observations stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Legend {
    /// The sites.
    pub sites: Vec<Site>,
    /// The layers of features.
    pub layers: Vec<Layer>,
    /// The groups of documents (articles, movies): those of the last batch, or of all that was read back.
    pub groups: Symbols,
}

/// A layer of features.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name, such as `pos`.
    pub name: String,
    /// Its features.
    pub symbols: Symbols,
}

impl AsRef<str> for Layer {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// Observations of some documents in the order of the text: `[observations]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// The document's number.
    pub document: Vec<u64>,
    /// The group that the document is in; [`NULL`]: in none.
    pub group: Vec<u32>,
    /// The token, counted from 0 in its document.
    pub position: Vec<u32>,
    /// Index of the site.
    pub site: Vec<u32>,
    /// The neuron.
    pub neuron: Vec<u32>,
    /// Its activation.
    pub activation: Vec<f32>,
    /// What it counts for.
    pub strength: Vec<f32>,
    /// Where the token starts in the document's text, in Unicode scalars; [`NULL`] where it has no span.
    pub start: Vec<u32>,
    /// Where it ends, likewise.
    pub end: Vec<u32>,
    /// The line of its file that the document stands in; 0 where it stands in none that is known.
    pub line: Vec<u64>,
    /// `[layers]`: the token's feature; [`NULL`] where it has none.
    pub features: Vec<Vec<u32>>,
}

impl Legend {
    /// Of what a source will give.
    pub fn of(description: &SourceDescription) -> Self {
        let layer = |name: &String| Layer { name: name.clone(), symbols: Symbols::default() };
        Self {
            sites: description.sites.clone(),
            layers: description.layers.iter().map(layer).collect(),
            groups: Symbols::default(),
        }
    }

    /// What a rule keeps of a batch one by one, its features and groups numbered.
    ///
    /// # Errors
    /// A batch that is not what its source described, and an activation that is no number.
    pub fn record(&mut self, batch: &ActivationBatch, rule: &dyn RecordRule) -> MethodResult<Observations> {
        self.check(batch)?;
        // Of groups there may be as many as documents: they are numbered anew in each batch.
        self.groups = Symbols::default();
        let (rows, strength) = kept(batch, self.sites.len(), rule)?;
        let tokens: Vec<u32> = rows.iter().map(|&row| batch.token[row as usize]).collect();
        let mut document = 0;
        let documents: Vec<usize> = tokens
            .iter()
            .map(|&token| {
                while batch.offsets[document + 1] <= u64::from(token) {
                    document += 1;
                }
                document
            })
            .collect();
        let features = self.features(batch, || tokens.iter().map(|&token| token as usize));
        let mut groups = Numbers::new(&mut self.groups, &batch.groups);
        let mut group = |document: &usize| match batch.groups.get(*document) {
            Some(name) if !name.is_empty() => groups.number(*document as u32),
            _ => NULL,
        };
        let of_rows = |column: &[u32]| rows.iter().map(|&row| column[row as usize]).collect();
        let of_tokens = |column: &[u32]| tokens.iter().map(|&token| column[token as usize]).collect();
        let position = |(&token, &document): (&u32, &usize)| (u64::from(token) - batch.offsets[document]) as u32;
        Ok(Observations {
            features,
            document: documents.iter().map(|&document| batch.documents[document]).collect(),
            group: documents.iter().map(&mut group).collect(),
            position: tokens.iter().zip(&documents).map(position).collect(),
            site: of_rows(&batch.site),
            neuron: of_rows(&batch.neuron),
            activation: rows.iter().map(|&row| batch.activation[row as usize]).collect(),
            strength,
            start: of_tokens(&batch.starts),
            end: of_tokens(&batch.ends),
            line: documents.iter().map(|&document| batch.lines.get(document).copied().unwrap_or(0)).collect(),
        })
    }

    /// `[layers]`: the features of some tokens of a batch, numbered.
    pub(crate) fn features<T: Iterator<Item = usize>>(
        &mut self,
        batch: &ActivationBatch,
        tokens: impl Fn() -> T,
    ) -> Vec<Vec<u32>> {
        let layers = self.layers.iter_mut().zip(&batch.layers);
        let numbered = layers.map(|(layer, of)| {
            let mut numbers = Numbers::new(&mut layer.symbols, &of.names);
            tokens().map(|token| numbers.number(of.features[token])).collect()
        });
        numbered.collect()
    }

    /// So that everything after may index freely.
    fn check(&self, batch: &ActivationBatch) -> MethodResult<()> {
        batch.fits(&self.sites, &self.layers).map_err(|what| MethodError::Batch { what })?;
        let wrong = |activation: &f32| !activation.is_finite();
        let of_rows = batch.activation.iter().position(wrong);
        let of_rows = of_rows.map(|at| (batch.token[at] as usize, batch.site[at] as usize, batch.activation[at]));
        let mut whole = batch.whole.iter().zip(&self.sites).enumerate();
        let of_whole = || {
            whole.find_map(|(site, (all, Site { width, .. }))| {
                all.iter().position(wrong).map(|at| (at / width, site, all[at]))
            })
        };
        let Some((token, site, activation)) = of_rows.or_else(of_whole) else { return Ok(()) };
        let document = batch.offsets.partition_point(|&offset| offset <= token as u64) - 1;
        let (document, site) = (batch.documents[document], self.sites[site].name.clone());
        Err(MethodError::NotFinite { document, activation, site })
    }
}

/// Which observations of a batch a rule keeps, in the order of tokens and sites, and for how much each counts.
fn kept(batch: &ActivationBatch, sites: usize, rule: &dyn RecordRule) -> MethodResult<(Vec<u32>, Vec<f32>)> {
    let place = |row: u32| (batch.token[row as usize], batch.site[row as usize]);
    let is_kept: Vec<bool> = (0..sites).map(|site| rule.in_bulk(site).is_none()).collect();
    if let Some(site) = (0..batch.whole.len()).find(|&site| is_kept[site] && !batch.whole[site].is_empty()) {
        let what = format!("site {site} comes whole, and the rule takes it one by one");
        return Err(MethodError::Batch { what });
    }
    let mut order: Vec<u32> = (0..batch.token.len() as u32).collect();
    order.retain(|&row| is_kept[batch.site[row as usize] as usize]);
    // The sites of a token may come mixed.
    if !order.is_sorted_by_key(|&row| place(row)) {
        order.sort_by_key(|&row| place(row));
    }
    let (mut rows, mut strengths) = (Vec::with_capacity(order.len()), Vec::with_capacity(order.len()));
    let (mut neurons, mut activations, mut kept, mut seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for candidates in order.chunk_by(|&a, &b| place(a) == place(b)) {
        neurons.clear();
        neurons.extend(candidates.iter().map(|&row| batch.neuron[row as usize]));
        activations.clear();
        activations.extend(candidates.iter().map(|&row| batch.activation[row as usize]));
        kept.clear();
        rule.record(batch.site[candidates[0] as usize] as usize, &neurons, &activations, &mut kept);
        seen.clear();
        seen.resize(candidates.len(), false);
        for &Kept { candidate, strength } in &kept {
            let wrong = |what| MethodError::Rule { candidate, of: candidates.len(), strength, what };
            match seen.get_mut(candidate) {
                None => return Err(wrong("there is no such candidate")),
                Some(true) => return Err(wrong("it is there already")),
                Some(seen) => *seen = true,
            }
            if !strength.is_finite() {
                return Err(wrong("that is no number"));
            }
            rows.push(candidates[candidate]);
            strengths.push(strength);
        }
    }
    Ok((rows, strengths))
}

/// From the numbers of a batch to those of a legend: each name is looked up once a batch, and only if it occurs.
struct Numbers<'a> {
    symbols: &'a mut Symbols,
    names: &'a StringTable,
    known: Vec<u32>,
}

impl<'a> Numbers<'a> {
    fn new(symbols: &'a mut Symbols, names: &'a StringTable) -> Self {
        Self { symbols, names, known: vec![NULL; names.len()] }
    }

    #[inline]
    fn number(&mut self, local: u32) -> u32 {
        match self.known.get_mut(local as usize) {
            Some(known) => {
                if *known == NULL {
                    *known = self.symbols.number(self.names.get(local as usize).unwrap_or_default());
                }
                *known
            }
            None => NULL,
        }
    }
}

impl Observations {
    /// How many.
    pub fn len(&self) -> usize {
        self.document.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.document.is_empty()
    }

    /// Reads a stage's observations back, of neurons at these sites. The table does not tell what they counted for: `strength`
    /// does, by site, neuron and activation.
    pub fn read(
        folder: &Folder<'_>,
        sites: &[Site],
        layers: &[String],
        strength: impl Fn(u32, u32, f32) -> f32,
    ) -> MethodResult<(Legend, Self)> {
        let mut legend = Legend::of(&SourceDescription { sites: sites.to_vec(), layers: layers.to_vec() });
        let mut all = Self { features: vec![Vec::new(); layers.len()], ..Self::default() };
        for batch in folder.read(&observations::TABLE)? {
            let batch = batch?;
            let group = batch.text(observations::GROUP)?;
            let site = batch.text(observations::SITE)?;
            let features = layers.iter().map(|layer| has_column(layer).then(|| batch.text(layer)).transpose());
            let features = features.collect::<TableResult<Vec<_>>>()?;
            let positions = batch.numbers::<UInt32Type>(observations::POSITION)?;
            let neurons = batch.numbers::<UInt32Type>(observations::NEURON)?;
            for row in 0..batch.len() {
                let at = sites.iter().position(|known| known.name == site.value(row));
                let at = at.filter(|&at| (neurons.value(row) as usize) < sites[at].width);
                let unfit = || folder.malformed(&observations::TABLE, "it does not fit the tables beside it");
                all.site.push(at.ok_or_else(unfit)? as u32);
                let group = group.is_valid(row).then(|| legend.groups.number(group.value(row)));
                all.group.push(group.unwrap_or(NULL));
                for ((column, layer), features) in all.features.iter_mut().zip(&mut legend.layers).zip(&features) {
                    let feature = match features {
                        Some(features) => features.is_valid(row).then(|| layer.symbols.number(features.value(row))),
                        None => Some(layer.symbols.number(&positions.value(row).to_string())),
                    };
                    column.push(feature.unwrap_or(NULL));
                }
            }
            all.document.extend(batch.numbers::<UInt64Type>(observations::DOC)?.values());
            all.position.extend(positions.values());
            all.neuron.extend(neurons.values());
            all.activation.extend(batch.numbers::<Float32Type>(observations::ACTIVATION)?.values());
            for (column, into) in [(observations::START, &mut all.start), (observations::END, &mut all.end)] {
                into.extend(batch.numbers::<UInt32Type>(column)?.iter().map(|at| at.unwrap_or(NULL)));
            }
            all.line.extend(batch.numbers::<UInt64Type>(observations::LINE)?.iter().map(|line| line.unwrap_or(0)));
        }
        let of = all.site.iter().zip(&all.neuron).zip(&all.activation);
        all.strength = of.map(|((&site, &neuron), &activation)| strength(site, neuron, activation)).collect();
        Ok((legend, all))
    }
}

/// Whether a layer has a column of its own: `position` is one that every table of observations has.
pub(crate) fn has_column(layer: &str) -> bool {
    layer != observations::POSITION.name
}

/// Writes `observations.parquet`, some rows at a time.
pub(crate) struct ObservationWriter(TableWriter);

impl ObservationWriter {
    pub fn create(folder: &Folder<'_>, legend: &Legend) -> MethodResult<Self> {
        let layers: Vec<&str> =
            legend.layers.iter().map(|layer| layer.name.as_str()).filter(|layer| has_column(layer)).collect();
        Ok(Self(folder.create(&observations::TABLE, &layers)?))
    }

    pub fn write(&mut self, observed: &Observations, legend: &Legend) -> MethodResult<()> {
        for from in (0..observed.len()).step_by(ROWS) {
            let rows = from..(from + ROWS).min(observed.len());
            let names = |column: &[u32], symbols: &Symbols| -> ArrayRef {
                Arc::new(
                    column[rows.clone()]
                        .iter()
                        .map(|&number| symbols.names().get(number as usize))
                        .collect::<StringArray>(),
                )
            };
            let places = |column: &[u32]| -> ArrayRef {
                Arc::new(
                    column[rows.clone()].iter().map(|&at| Some(at).filter(|&at| at != NULL)).collect::<UInt32Array>(),
                )
            };
            let lines = observed.line[rows.clone()].iter().map(|&line| Some(line).filter(|&line| line > 0));
            let sites = observed.site[rows.clone()].iter().map(|&site| &legend.sites[site as usize].name);
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from_iter_values(observed.document[rows.clone()].iter().copied())),
                names(&observed.group, &legend.groups),
                Arc::new(UInt32Array::from_iter_values(observed.position[rows.clone()].iter().copied())),
                Arc::new(StringArray::from_iter_values(sites)),
                Arc::new(UInt32Array::from_iter_values(observed.neuron[rows.clone()].iter().copied())),
                Arc::new(Float32Array::from_iter_values(observed.activation[rows.clone()].iter().copied())),
                places(&observed.start),
                places(&observed.end),
                Arc::new(lines.collect::<UInt64Array>()),
            ];
            let layers = observed.features.iter().zip(&legend.layers).filter(|(_, layer)| has_column(&layer.name));
            columns.extend(layers.map(|(column, layer)| names(column, &layer.symbols)));
            self.0.write(columns)?;
        }
        Ok(())
    }

    /// Adds rows of another table of observations with the same layers.
    pub fn copy(&mut self, rows: &Batch) -> MethodResult<()> {
        Ok(self.0.write(rows.columns())?)
    }

    /// Ends the table.
    pub fn finish(self) -> MethodResult<()> {
        Ok(self.0.finish()?)
    }
}
