//! What a batch of a source has to be.

use crate::{ActivationBatch, ExactSum, NULL, Site};

impl ActivationBatch {
    /// Holds it to the rules of its fields, and to what its source described, so that whoever takes it may index freely.
    /// Whether activations are numbers is not asked here: who is at fault then depends on the source.
    ///
    /// # Errors
    /// The first rule that it breaks, as it reads after "a batch that does not fit: ".
    pub fn fits(&self, sites: &[Site], layers: &[impl AsRef<str>]) -> Result<(), String> {
        let Self { documents, groups, offsets, starts, ends, unknown, lines, .. } = self;
        let tokens = starts.len();
        equal("offsets", offsets.len(), "documents and the end", documents.len() + 1)?;
        if offsets.first() != Some(&0) || offsets.last() != Some(&(tokens as u64)) || !offsets.is_sorted() {
            return Err(format!("the offsets {offsets:?} do not cut {tokens} tokens into documents"));
        }
        if !groups.is_empty() {
            equal("groups", groups.len(), "documents", documents.len())?;
        }
        if !lines.is_empty() {
            equal("lines", lines.len(), "documents", documents.len())?;
        }
        equal("ends", ends.len(), "starts", tokens)?;
        for (token, (&start, &end)) in starts.iter().zip(ends).enumerate() {
            if (start == NULL) != (end == NULL) || start > end {
                return Err(format!("token {token} reaches from {start} to {end}"));
            }
        }
        if *unknown > tokens as u64 {
            return Err(format!("{unknown} of {tokens} tokens are unknown"));
        }
        self.dropped_fits()?;
        self.layers_fit(tokens, layers)?;
        self.observations_fit(tokens, sites)?;
        self.whole_fits(tokens, sites)?;
        self.moments_fit(sites)
    }

    fn dropped_fits(&self) -> Result<(), String> {
        let Self { characters, dropped, dropped_documents, .. } = self;
        let documents = self.documents.len() as u64;
        // Places in a document are below `NULL`.
        if *characters > documents.saturating_mul(u64::from(NULL)) {
            return Err(format!("there are {characters} characters in {documents} documents"));
        }
        if dropped > characters {
            return Err(format!("{dropped} of {characters} characters are dropped"));
        }
        if dropped_documents > &documents.min(*dropped) {
            return Err(format!("{dropped_documents} of {documents} documents are dropped, of {dropped} characters"));
        }
        Ok(())
    }

    fn layers_fit(&self, tokens: usize, described: &[impl AsRef<str>]) -> Result<(), String> {
        let names: Vec<&str> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
        let described: Vec<&str> = described.iter().map(AsRef::as_ref).collect();
        if names != described {
            return Err(format!("the layers are {names:?}, but {described:?} were described"));
        }
        for layer in &self.layers {
            equal(&format!("features of layer `{}`", layer.name), layer.features.len(), "tokens", tokens)?;
            let beyond = |&&feature: &&u32| feature != NULL && feature as usize >= layer.names.len();
            if let Some(feature) = layer.features.iter().find(beyond) {
                return Err(format!("feature {feature} of layer `{}` has no name", layer.name));
            }
            if layer.unjoined > tokens as u64 {
                return Err(format!("{} of {tokens} tokens are unjoined in layer `{}`", layer.unjoined, layer.name));
            }
        }
        Ok(())
    }

    fn observations_fit(&self, tokens: usize, sites: &[Site]) -> Result<(), String> {
        let Self { token, site, neuron, activation, .. } = self;
        let lengths = [token.len(), site.len(), neuron.len(), activation.len()];
        if lengths.iter().any(|&length| length != token.len()) {
            return Err(format!("the columns of the observations have the lengths {lengths:?}"));
        }
        if !token.is_sorted() {
            return Err("the tokens of the observations fall".to_owned());
        }
        let beyond = token.partition_point(|&token| (token as usize) < tokens);
        if let Some(token) = token.get(beyond) {
            return Err(format!("observation {beyond} is at token {token} of {tokens}"));
        }
        for (at, (&site, &neuron)) in site.iter().zip(neuron).enumerate() {
            let Some(described) = sites.get(site as usize) else {
                return Err(format!("observation {at} is at site {site} of {}", sites.len()));
            };
            if neuron as usize >= described.width {
                return Err(format!("observation {at} is of neuron {neuron} of {}", described.width));
            }
        }
        Ok(())
    }

    fn whole_fits(&self, tokens: usize, sites: &[Site]) -> Result<(), String> {
        if self.whole.is_empty() {
            return Ok(());
        }
        equal("sites that come whole or not", self.whole.len(), "sites", sites.len())?;
        let is_whole: Vec<bool> = self.whole.iter().map(|all| !all.is_empty()).collect();
        for (all, Site { name, width }) in self.whole.iter().zip(sites).filter(|(all, _)| !all.is_empty()) {
            equal(&format!("activations of site `{name}`"), all.len(), "tokens and neurons", tokens * width)?;
        }
        match self.site.iter().find(|site| is_whole[**site as usize]) {
            Some(&site) => Err(format!("site `{}` comes whole, and one by one", sites[site as usize].name)),
            None => Ok(()),
        }
    }

    fn moments_fit(&self, sites: &[Site]) -> Result<(), String> {
        if self.moments.is_empty() {
            return Ok(());
        }
        if self.moments.len() != sites.len() {
            return Err(format!("there are moments of {} of {} sites", self.moments.len(), sites.len()));
        }
        for (moments, Site { name, width }) in self.moments.iter().zip(sites) {
            for (what, sums) in [("h", &moments.sum), ("|h|", &moments.sum_abs), ("h²", &moments.sum_sq)] {
                if sums.len() != *width {
                    return Err(format!(
                        "at site `{name}` there are {} sums of {what} for {width} neurons",
                        sums.len()
                    ));
                }
                let is_wrong = |sum: &&ExactSum| !sum.is_sound() || what != "h" && sum.high < 0;
                if let Some(sum) = sums.iter().find(is_wrong) {
                    return Err(format!("at site `{name}` a sum of {what} is {sum}"));
                }
            }
        }
        Ok(())
    }
}

fn equal(what: &str, found: usize, of: &str, expected: usize) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("there are {found} {what} for {expected} {of}")),
    }
}
