//! Components that each break one property of their suite, and one of each interface, `good`, that breaks none.

mod metrics;
mod models;
mod pruners;
mod sinks;
mod sources;

use metrics::{
    ByHostThreads, ByNumbers, ByThread, Forgetful, Good, IgnoresOptions, Impatient, Leaks, NeedsCompany, NeedsRows,
    Neighbours, NeverClose, NoAffinity, NoNumber, NoTriangle, NotIdentity, NotSymmetric, OffByOne, OneRowShort,
    OneSided, Panics, PanicsInThread, SlowToEnd, Unbounded,
};
use models::{
    Amnesiac, Backwards, Boastful, Contrary, Dull, Endless, Excessive, Free, GoodModel, Gullible, Hasty, Idle, Leader,
    Masquerading, Modest, Positive, Rounding, Sociable, Spoilt, Stateless, Unmasked, Unseeded, Unsummed,
};
use pruners::{ByEverything, ByPlace, GoodPruner, Presumptuous, Selective};
use sinks::{Careless, GoodSink, Numbered, Silent, Vandal};
use sources::{GoodSource, Ragged, Restless, WakesUp};

txray_plugin::plugin!(
    metrics = [
        Good,
        OffByOne,
        OneRowShort,
        NeedsRows,
        NeedsCompany,
        Impatient,
        NoNumber,
        Panics,
        PanicsInThread,
        NotSymmetric,
        NotIdentity,
        Unbounded,
        NoTriangle,
        NoAffinity,
        OneSided,
        NeverClose,
        Neighbours,
        Forgetful,
        ByThread,
        ByHostThreads,
        ByNumbers,
        IgnoresOptions,
        Leaks,
        SlowToEnd,
    ],
    pruners = [GoodPruner, ByPlace, ByEverything, Presumptuous, Selective],
    sinks = [GoodSink, Silent, Vandal, Numbered, Careless],
    sources = [GoodSource, WakesUp, Ragged, Restless],
    models = [
        Spoilt<GoodModel>,
        Spoilt<Unseeded>,
        Spoilt<Gullible>,
        Spoilt<Sociable>,
        Spoilt<Hasty>,
        Spoilt<Backwards>,
        Spoilt<Excessive>,
        Spoilt<Rounding>,
        Spoilt<Stateless>,
        Spoilt<Amnesiac>,
        Spoilt<models::Silent>,
        Spoilt<Positive>,
        Spoilt<Unmasked>,
        Spoilt<Free>,
        Spoilt<Masquerading>,
        Spoilt<Contrary>,
        Spoilt<Leader>,
        Spoilt<Idle>,
        Spoilt<Boastful>,
        Spoilt<Modest>,
        Spoilt<Unsummed>,
        Spoilt<Dull>,
        Spoilt<Endless>,
        Spoilt<models::Restless>,
    ]
);
