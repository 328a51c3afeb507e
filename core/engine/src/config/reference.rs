//! The reference of the pipeline's TOML, written from the types that read it.

use txray_config::reference::{describe, section};
use txray_plugin::abi;

use super::{ComparisonSection, ModelSection, PluginSection, PruningSection, StageSection, TopLevel};
use crate::corpus::{GrammarOptions, TextOptions, TsvOptions};
use txray_host::Registry;

/// The reference as Markdown: the sections of the engine, then the options of the components at hand.
pub fn reference(registry: &Registry) -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         A pipeline is one TOML file. Its tables name each other: a stage reads a model over a corpus, a comparison holds \
         two stages against each other. `txray check FILE` tells every error at once. Any value can be set from the \
         command line: `--set model.lm.train.epochs=2`.\n\n\
         This page is generated from the types that read the file; do not edit it.\n",
    );
    section::<TopLevel>(&mut text, "Top level");
    section::<PluginSection>(&mut text, "`[plugin.NAME]`");
    section::<TextOptions>(&mut text, "`[corpus.NAME]`, `kind = \"text\"`");
    section::<TsvOptions>(&mut text, "`[corpus.NAME]`, `kind = \"tsv\"`");
    section::<GrammarOptions>(&mut text, "`[corpus.NAME]`, `kind = \"grammar\"`");
    section::<ModelSection>(&mut text, "`[model.NAME]`");
    components(&mut text, registry, abi::MODEL, "`[model.NAME]`");
    section::<StageSection>(&mut text, "`[stage.NAME]`");
    components(&mut text, registry, abi::SOURCE, "`source` of `[stage.NAME]`");
    section::<ComparisonSection>(&mut text, "`[comparison.NAME]`");
    components(&mut text, registry, abi::METRIC, "`metrics` of `[comparison.NAME]`");
    section::<PruningSection>(&mut text, "`[pruning.NAME]`");
    components(&mut text, registry, abi::PRUNER, "`pruner` of `[pruning.NAME]`");
    components(&mut text, registry, abi::SINK, "`[report.KIND]`");
    text
}

fn components(text: &mut String, registry: &Registry, interface: &str, place: &str) {
    let all = registry.plugins().iter().flat_map(|plugin| &plugin.info.components);
    for component in all.filter(|component| component.interface == interface) {
        let title = format!("{place}, `kind = \"{}\"`: {}", component.kind, component.about);
        describe(text, &title, &component.options);
    }
}
