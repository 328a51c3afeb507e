//! A metric that panics wherever its option says. The host must live on, and nothing be printed.

use std::panic::panic_any;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Component, Host, MetricBatch, PreferenceMetric, Result};

struct Panics(Place);

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
struct Options {
    /// Where it panics.
    r#in: Place,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", rename_all = "kebab-case")]
enum Place {
    Create,
    Call,
    /// In a call, with a value that is no text.
    CallWithoutWords,
    /// In a call, with a value that panics again when it is dropped.
    CallTwice,
    /// In a thread of its own, whose end the call waits for.
    Thread,
    /// In a thread of its own that nobody waits for: the call succeeds.
    ThreadAlone,
    Drop,
}

impl Component for Panics {
    const KIND: &'static str = "panics";
    const ABOUT: &'static str = "panics where it is asked to";
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        assert!(options.r#in != Place::Create, "no thanks: größer");
        Ok(Self(options.r#in))
    }
}

impl PreferenceMetric for Panics {
    fn distances(&self, _: &Host<'_>, _: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        match self.0 {
            Place::Call => panic!("row {} is too far", out.len()),
            Place::CallWithoutWords => panic_any(17),
            Place::CallTwice => panic_any(PanicsAgain),
            Place::Thread => std::thread::scope(|scope| {
                scope.spawn(|| panic!("the thread of the metric fell"));
            }),
            Place::ThreadAlone => drop(std::thread::spawn(|| panic!("nobody waits for this thread")).join()),
            Place::Create | Place::Drop => {}
        }
        out.fill(0.5);
        Ok(())
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(self.0 != Place::Drop, "cannot let go");
    }
}

struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("and again");
    }
}

txray_plugin::plugin!(metrics = [Panics]);
