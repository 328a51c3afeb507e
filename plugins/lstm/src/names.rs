//! What tensors are called in PyTorch: one name here for each of the names that people's checkpoints have.

use std::collections::BTreeMap;

/// What wrappers put in front of every name: data parallel training, and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// What the embedding's module is called.
const ENCODERS: [&str; 8] =
    ["encoder", "embedding", "embeddings", "embed", "emb", "word_embedding", "word_embeddings", "embed_tokens"];
/// What the module over the vocabulary, or over labels, is called.
const DECODERS: [&str; 10] =
    ["decoder", "fc", "linear", "out", "output", "proj", "lm_head", "head", "generator", "classifier"];

/// For each name of some tensors, given with their shapes, the one that it has here, if it is known what it is:
/// `encoder.weight`, `decoder.*`, and the recurrent layers' under `recurrent` (such as `lstm`). Others stay as they are, less what
/// stands in front of all.
///
/// # Errors
/// Where there are recurrent layers in several modules, and nothing says which reads what another gives.
pub(crate) fn known(
    tensors: &BTreeMap<String, Vec<usize>>,
    recurrent: &str,
) -> Result<BTreeMap<String, String>, String> {
    let mut bare: BTreeMap<String, String> =
        tensors.keys().map(|name| (name.clone(), unwrapped(name).to_owned())).collect();
    // A module around all of them.
    while let Some(first) =
        bare.values().next().and_then(|name| name.split_once('.')).map(|(first, _)| first.to_owned())
        && bare
            .values()
            .all(|name| name.split_once('.').is_some_and(|(other, rest)| other == first && rest.contains('.')))
    {
        bare.values_mut().for_each(|name| *name = name.split_once('.').map_or("", |(_, rest)| rest).to_owned());
    }
    let layers = in_one_module(&mut bare)?;
    let of_layers = |name: &str| part(name).map(|(_, part, rest)| format!("{recurrent}.{part}{rest}"));
    // Modules of a matrix, apart from the recurrent ones, with its shape.
    let matrices = bare.iter().filter(|(_, name)| of_layers(name).is_none()).filter_map(|(given, name)| {
        let &[rows, columns] = tensors.get(given)?.as_slice() else { return None };
        Some((name.strip_suffix(".weight")?, (rows, columns)))
    });
    let matrices: Vec<(&str, (usize, usize))> = matrices.collect();
    let is_called = |module: &str, names: &[&str]| names.contains(&module.rsplit('.').next().unwrap_or_default());
    let has_bias = |module: &str| bare.values().any(|name| name.strip_suffix(".bias") == Some(module));
    let of_part = |part: &str, axis: usize| {
        let found = bare.iter().find(|(_, name)| **name == format!("{layers}{part}"));
        found.and_then(|(given, _)| tensors[given].get(axis).copied())
    };
    let input = of_part("weight_ih_l0", 1);
    let directions = if of_part("weight_hh_l0_reverse", 0).is_some() { 2 } else { 1 };
    let output = of_part("weight_hh_l0", 1).map(|width| directions * width);
    // The only one that is called so; where none is, the only one that looks so.
    let only = |names: &[&str], looks: &dyn Fn(&str, (usize, usize)) -> bool| {
        let called: Vec<&str> =
            matrices.iter().map(|(module, _)| *module).filter(|module| is_called(module, names)).collect();
        let found = match called.is_empty() {
            false => called,
            true => {
                matrices.iter().filter(|(module, shape)| looks(module, *shape)).map(|(module, _)| *module).collect()
            }
        };
        if let [module] = *found { Some(module.to_owned()) } else { None }
    };
    // An embedding has no bias, and is as wide as what the layers read.
    let encoder = only(&ENCODERS, &|module, (_, columns)| {
        !has_bias(module) && Some(columns) == input && !is_called(module, &DECODERS)
    });
    let words = matrices.iter().find(|(module, _)| Some(*module) == encoder.as_deref()).map(|(_, (rows, _))| *rows);
    // One over something else than the vocabulary reads what the layers give, and does not give what they read: it could not
    // stand before them.
    let decoder = only(&DECODERS, &|module, (rows, columns)| {
        Some(module) != encoder.as_deref() && (Some(rows) == words || Some(columns) == output && Some(rows) != input)
    });
    let of_module = |name: &str| {
        let (module, part) = name.rsplit_once('.')?;
        if encoder.as_deref() == Some(module) {
            return Some(format!("encoder.{part}"));
        }
        (decoder.as_deref() == Some(module)).then(|| format!("decoder.{part}"))
    };
    let here = |name: &str| of_layers(name).or_else(|| of_module(name)).unwrap_or_else(|| name.to_owned());
    Ok(bare.iter().map(|(given, bare)| (given.clone(), here(bare))).collect())
}

/// Gives recurrent layers the names that they have in one module, whose name with its dot is the answer: those of a cell
/// (`nn.LSTMCell`), and those of a list of modules of one layer each (`rnns.0`, `rnns.1`).
fn in_one_module(bare: &mut BTreeMap<String, String>) -> Result<String, String> {
    let mut modules: Vec<String> =
        bare.values().filter_map(|name| part(name)).map(|(module, ..)| module.to_owned()).collect();
    modules.sort_by_key(|module| (listed(module).map(|(_, number)| number), module.clone()));
    modules.dedup();
    let list = modules.first().and_then(|module| listed(module)).map(|(list, _)| list);
    let is_single = |name: &String| part(name).is_none_or(|(_, _, rest)| rest.is_empty() || rest.starts_with("_l0"));
    let is_list =
        modules.iter().all(|module| listed(module).map(|(list, _)| list) == list) && bare.values().all(is_single);
    if modules.len() > 1 && !(list.is_some() && is_list) {
        let names: Vec<String> = modules.iter().map(|module| format!("`{}`", module.trim_end_matches('.'))).collect();
        let names = names.join(", ");
        return Err(format!("there are recurrent layers in several modules ({names}): leave those of one in the file"));
    }
    for name in bare.values_mut() {
        let Some((module, part, rest)) = part(name) else { continue };
        let layer = modules.iter().position(|other| other == module).unwrap_or_default();
        let rest = match modules.len() {
            1 if !rest.is_empty() => rest.to_owned(),
            _ => format!("_l{layer}{}", rest.trim_start_matches("_l0")),
        };
        *name = format!("{}{part}{rest}", modules[0]);
    }
    Ok(modules.into_iter().next().unwrap_or_default())
}

/// A recurrent module's name with its dot, what a tensor is of a layer, and the rest of its name, such as `_l0_reverse`.
fn part(name: &str) -> Option<(&str, &str, &str)> {
    let (module, own) = name.split_at(name.rfind('.').map_or(0, |dot| dot + 1));
    let part =
        ["weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"].into_iter().find(|part| own.starts_with(part))?;
    let (part, rest) = own.split_at(part.len());
    (rest.is_empty() || rest.starts_with("_l")).then_some((module, part, rest))
}

/// Where a module is one of a list (`rnns.1.`), the list's name and its number there.
fn listed(module: &str) -> Option<(&str, usize)> {
    let module = module.strip_suffix('.')?;
    let (list, number) = module.split_at(module.rfind('.').map_or(0, |dot| dot + 1));
    Some((list, number.parse().ok()?))
}

fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these are called here, in the order of their own names.
    fn of(names: &[&str]) -> Vec<String> {
        let shape = |name: &str| match name {
            name if name.contains("bias") => vec![8],
            name if name.contains("weight_ih_l0") => vec![8, 3],
            name if name.contains("weight_hh_l0") => vec![8, 2],
            name if name.contains("out") => vec![9, 2],
            name if name.contains("tag") => vec![4, 2],
            name if name.contains("square") => vec![3, 2],
            _ => vec![9, 3],
        };
        let tensors = names.iter().map(|&name| (name.to_owned(), shape(name))).collect();
        let known = known(&tensors, "lstm").unwrap();
        names.iter().map(|&name| known[name].clone()).collect()
    }

    #[test]
    fn modules_are_known_by_what_people_call_them() {
        let here = ["encoder.weight", "lstm.weight_ih_l0", "lstm.bias_hh_l1_reverse", "decoder.weight", "decoder.bias"];
        assert_eq!(of(&here), here);
        for (embedding, layers, output) in [
            ("encoder.", "rnn.", "decoder."),
            ("embedding.", "gru.", "fc."),
            ("module._orig_mod.embed.", "module._orig_mod.rnn.", "module._orig_mod.out."),
            ("model.encoder.", "model.lstm.", "model.lm_head."),
            ("net.emb.", "net.body.lstm.", "net.head."),
            ("embedding.", "", "linear."),
            ("table.", "rnn.", "my_output."),
        ] {
            let names = [
                format!("{embedding}weight"),
                format!("{layers}weight_ih_l0"),
                format!("{layers}bias_hh_l1_reverse"),
                format!("{output}weight"),
                format!("{output}bias"),
            ];
            assert_eq!(of(&names.each_ref().map(|name| &**name)), here, "{names:?}");
        }
    }

    #[test]
    fn what_can_only_follow_the_layers_is_taken_for_the_output() {
        let names = ["embed.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "hidden2tag.bias", "hidden2tag.weight"];
        assert_eq!(of(&names)[3..], ["decoder.bias", "decoder.weight"]);
        // One that could stand before the layers, and two of them.
        for other in ["square.weight", "tag2.weight"] {
            let names = ["embed.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", other];
            let with = [&names[..], &["tag.weight"]].concat();
            assert_eq!(of(if other.contains("tag") { &with } else { &names })[3], other);
        }
    }

    #[test]
    fn cells_and_lists_of_layers_are_one_module() {
        let layers = ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.weight_ih_l1", "lstm.bias_hh_l1"];
        let cells = ["net.cells.0.weight_ih", "net.cells.0.weight_hh", "net.cells.1.weight_ih", "net.cells.1.bias_hh"];
        assert_eq!(of(&cells), layers);
        let list = ["rnns.2.weight_ih_l0", "rnns.2.weight_hh_l0", "rnns.10.weight_ih_l0", "rnns.10.bias_hh_l0"];
        assert_eq!(of(&list), layers);
        assert_eq!(of(&["rnns.0.bias_ih_l0_reverse", "rnns.1.bias_ih_l0_reverse"])[1], "lstm.bias_ih_l1_reverse");
        assert_eq!(of(&["cell.weight_ih", "cell.bias_hh"]), ["lstm.weight_ih_l0", "lstm.bias_hh_l0"]);
        for names in [["enc.weight_hh_l0", "dec.weight_hh_l0"], ["rnns.0.weight_hh_l0", "rnns.1.weight_hh_l1"]] {
            let tensors = names.map(|name| (name.to_owned(), vec![8, 2])).into();
            assert!(known(&tensors, "lstm").unwrap_err().contains("several modules (`"), "{names:?}");
        }
    }

    #[test]
    fn the_page_has_every_name() {
        let page = include_str!("../../../docs/checkpoints.md");
        for name in WRAPPERS.iter().chain(&ENCODERS).chain(&DECODERS) {
            assert!(page.contains(&format!("`{name}`")), "docs/checkpoints.md has no `{name}`");
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let names = ["embed.weight", "emb.weight", "lstm.weight_ih_l0", "norm.weight", "extra"];
        assert_eq!(of(&names), names);
        assert_eq!(of(&[]), [""; 0]);
        assert_eq!(of(&["lstm.weight_ih_l0"]), ["lstm.weight_ih_l0"]);
    }
}
