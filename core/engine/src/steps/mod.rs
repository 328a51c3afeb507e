//! One file a kind of table, and of the step that it comes to; and the list of them.

pub mod annotator;
pub mod comparison;
pub mod corpus;
pub mod evaluation;
pub mod model;
pub mod plugin;
pub mod pruning;
pub mod report;
pub mod stage;
#[cfg(test)]
mod tests;
pub mod trajectory;

use txray_text::FORMATS;

use crate::check::{Catalogue, SectionKind};

/// Every kind of table and every format of corpora that pipelines can name.
pub fn catalogue() -> Catalogue {
    let sections = vec![
        SectionKind::of::<plugin::Plugin>(),
        SectionKind::of::<corpus::Corpus>(),
        SectionKind::of::<annotator::Annotator>(),
        SectionKind::of::<model::Model>(),
        SectionKind::of::<evaluation::Evaluation>(),
        SectionKind::of::<stage::Stage>(),
        SectionKind::of::<comparison::Comparison>(),
        SectionKind::of::<trajectory::Trajectory>(),
        SectionKind::of::<pruning::Pruning>(),
        SectionKind::of::<report::Report>(),
    ];
    Catalogue { sections, formats: FORMATS.to_vec() }
}
