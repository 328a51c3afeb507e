//! What tensors are called in PyTorch: one name here for each of the names that people's checkpoints have.

use std::collections::BTreeMap;

/// What wrappers put in front of every name: data parallel training, and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// What the embedding's module is called.
const ENCODERS: [&str; 8] =
    ["encoder", "embedding", "embeddings", "embed", "emb", "word_embedding", "word_embeddings", "embed_tokens"];
/// What the module over the vocabulary is called.
const DECODERS: [&str; 9] = ["decoder", "fc", "linear", "out", "output", "proj", "lm_head", "head", "generator"];

/// For each name of some tensors, given with their shapes, the one that it has here, if it is known what it is:
/// `encoder.weight`, `decoder.*`, and the recurrent layers' under `recurrent` (such as `lstm`). Others stay as they are, less what
/// stands in front of all.
pub(crate) fn known(tensors: &BTreeMap<String, Vec<usize>>, recurrent: &str) -> BTreeMap<String, String> {
    let mut bare: BTreeMap<String, &str> = tensors.keys().map(|name| (name.clone(), unwrapped(name))).collect();
    // A module around all of them.
    while let Some(first) = bare.values().next().and_then(|name| name.split_once('.')).map(|(first, _)| first)
        && bare
            .values()
            .all(|name| name.split_once('.').is_some_and(|(other, rest)| other == first && rest.contains('.')))
    {
        bare.values_mut().for_each(|name| *name = name.split_once('.').map_or(*name, |(_, rest)| rest));
    }
    let before = |end: &str| {
        let mut found = bare.values().filter_map(|name| name.strip_suffix(end));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    };
    let layers = before("weight_ih_l0").unwrap_or_default().to_owned();
    let of_layers = |name: &str| {
        let rest = name.strip_prefix(&*layers)?;
        (rest.starts_with("weight_") || rest.starts_with("bias_")).then(|| format!("{recurrent}.{rest}"))
    };
    // Modules of a matrix, apart from the recurrent ones, with its shape.
    let matrices = bare.iter().filter(|(_, name)| of_layers(name).is_none()).filter_map(|(given, name)| {
        let &[rows, columns] = tensors.get(given)?.as_slice() else { return None };
        Some((name.strip_suffix(".weight")?, (rows, columns)))
    });
    let matrices: Vec<(&str, (usize, usize))> = matrices.collect();
    let is_called = |module: &str, names: &[&str]| names.contains(&module.rsplit('.').next().unwrap_or_default());
    let has_bias = |module: &str| bare.values().any(|name| name.strip_suffix(".bias") == Some(module));
    let input = bare.iter().find(|(_, name)| **name == format!("{layers}weight_ih_l0"));
    let input = input.and_then(|(given, _)| tensors[given].get(1).copied());
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
    let decoder = only(&DECODERS, &|module, (rows, _)| Some(rows) == words && Some(module) != encoder.as_deref());
    let of_module = |name: &str| {
        let (module, part) = name.rsplit_once('.')?;
        if encoder.as_deref() == Some(module) {
            return Some(format!("encoder.{part}"));
        }
        (decoder.as_deref() == Some(module)).then(|| format!("decoder.{part}"))
    };
    let here = |name: &str| of_layers(name).or_else(|| of_module(name)).unwrap_or_else(|| name.to_owned());
    bare.iter().map(|(given, bare)| (given.clone(), here(bare))).collect()
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
            _ => vec![9, 3],
        };
        let tensors = names.iter().map(|&name| (name.to_owned(), shape(name))).collect();
        let known = known(&tensors, "lstm");
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
    fn what_is_not_known_stays_as_it_is() {
        let names = ["embed.weight", "emb.weight", "lstm.weight_ih_l0", "norm.weight", "extra"];
        assert_eq!(of(&names), names);
        assert_eq!(of(&[]), [""; 0]);
        assert_eq!(of(&["lstm.weight_ih_l0"]), ["lstm.weight_ih_l0"]);
    }
}
