//! What tensors are called in PyTorch: one name here for each of the names that people's checkpoints have.

use std::collections::BTreeMap;

/// What wrappers put in front of every name: data parallel training, and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// What the embedding's module is called.
const ENCODERS: [&str; 8] =
    ["encoder", "embedding", "embeddings", "embed", "emb", "word_embedding", "word_embeddings", "embed_tokens"];
/// What the module over the vocabulary is called.
const DECODERS: [&str; 9] = ["decoder", "fc", "linear", "out", "output", "proj", "lm_head", "head", "generator"];

/// For each of some names the one that it has here, if it is known what it is: `encoder.weight`, `decoder.*`, and the recurrent
/// layers' under `recurrent` (such as `lstm`). Others stay as they are, less what stands in front of all.
pub(crate) fn known(names: &[String], recurrent: &str) -> BTreeMap<String, String> {
    let mut bare: BTreeMap<String, &str> = names.iter().map(|name| (name.clone(), unwrapped(name))).collect();
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
    // The module of a tensor, if it is one of these and the only one.
    let only = |modules: &[&str]| {
        let mut of = bare.values().filter_map(|name| name.strip_suffix(".weight"));
        let mut of = of.by_ref().filter(|module| modules.contains(&module.rsplit('.').next().unwrap_or_default()));
        let first = of.next()?;
        of.next().is_none().then(|| first.to_owned())
    };
    let (encoder, decoder) = (only(&ENCODERS), only(&DECODERS));
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
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let known = known(&names, "lstm");
        names.iter().map(|name| known[name].clone()).collect()
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
