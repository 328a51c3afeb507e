//! `[report.KIND]`: a sink over the finished out directory.

use std::sync::Arc;

use serde_json::Value;
use txray_config::Name;
use txray_plugin::abi;

use crate::check::{Check, Section};
use crate::component::Component;
use crate::error::Result;
use crate::form::Form;
use crate::inputs::Hashes;
use crate::step::{Made, Making, Step};

/// A report of a pipeline.
pub struct Report {
    name: Name,
    sink: Component,
}

impl Section for Report {
    const TABLE: &'static str = "report";
    const PLURAL: &'static str = "reports";
    const ABOUT: &'static str = "Report sinks by kind: `[report.KIND]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let sink = check.of_table(abi::SINK, pointer, name, |registry, kind, options, host| {
            registry.sink(kind, options, host).map(drop)
        })?;
        Some(Self { name: name.clone(), sink })
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        vec![Arc::clone(self) as _]
    }

    fn form() -> Form {
        Form::named(abi::SINK)
    }
}

impl Step for Report {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        hashes.component(&self.sink)
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let mut sink = self.sink.sink(making.registry, making.host)?;
        sink.write(making.host, making.directory, making.manifest)?;
        Ok(Made::default())
    }

    fn reads_the_run(&self) -> bool {
        true
    }
}
