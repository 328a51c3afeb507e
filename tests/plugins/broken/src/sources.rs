//! Sources of two small documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use txray_plugin::{
    ActivationBatch, ActivationSource, Component, Host, LayerColumn, NULL, NoOptions, Result, Site, SourceDescription,
};

fn description() -> SourceDescription {
    SourceDescription { sites: vec![Site { name: "h".to_owned(), width: 3 }], layers: vec!["token".to_owned()] }
}

fn batch() -> ActivationBatch {
    ActivationBatch {
        documents: vec![0, 1],
        offsets: vec![0, 2, 3],
        starts: vec![0, 4, NULL],
        ends: vec![3, 7, NULL],
        layers: vec![LayerColumn {
            name: "token".to_owned(),
            features: vec![0, 1, NULL],
            names: Arc::new(["the", "cat"].into_iter().collect()),
            unjoined: 0,
        }],
        token: vec![0, 1, 2],
        site: vec![0; 3],
        neuron: vec![2, 0, 1],
        activation: vec![0.5, 0.25, -0.125],
        ..ActivationBatch::default()
    }
}

/// Defines a source without options: what its call number `asked`, from 0, gives.
macro_rules! source {
    ($name:ident, $kind:literal, $about:literal, |$asked:ident| $next:expr) => {
        pub struct $name(u32);

        impl Component for $name {
            const KIND: &'static str = $kind;
            const ABOUT: &'static str = $about;
            type Options = NoOptions;

            fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
                Ok(Self(0))
            }
        }

        impl ActivationSource for $name {
            fn describe(&self) -> Result<SourceDescription> {
                Ok(description())
            }

            fn next(&mut self, _: &Host<'_>) -> Result<Option<ActivationBatch>> {
                let $asked = self.0;
                self.0 += 1;
                Ok($next)
            }
        }
    };
}

source!(GoodSource, "good", "two documents", |asked| (asked < 2).then(batch));

source!(WakesUp, "wakes-up", "goes on after its end", |asked| (asked != 1).then(batch).filter(|_| asked < 4));

source!(Ragged, "ragged", "names a neuron that is not there", |asked| {
    let mut batch = batch();
    batch.neuron[2] = 3;
    (asked < 1).then_some(batch)
});

static MADE: AtomicU32 = AtomicU32::new(0);

source!(Restless, "restless", "reads something else every time", |asked| {
    let mut batch = batch();
    batch.activation[0] = MADE.fetch_add(1, Ordering::Relaxed) as f32;
    (asked < 1).then_some(batch)
});
