//! Pruners by mass.

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Columns, Component, Error, Host, NoOptions, Pruner, Result};

/// Breaks nothing: the negative of a column.
pub struct GoodPruner(String);

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
pub struct GoodOptions {
    /// The column.
    #[schemars(example = &"mass_from")]
    column: String,
}

impl Component for GoodPruner {
    const KIND: &'static str = "good";
    const ABOUT: &'static str = "the least of a column";
    type Options = GoodOptions;

    fn create(options: GoodOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self(options.column))
    }
}

impl Pruner for GoodPruner {
    fn scores(&self, _: &Host<'_>, columns: &Columns<'_>, out: &mut [f64]) -> Result<()> {
        let column = columns.get(&self.0);
        let column = column.ok_or_else(|| Error::at("/column", format!("there is no column `{}`", self.0)))?;
        column.iter().zip(out).for_each(|(value, out)| *out = -value);
        Ok(())
    }
}

/// Defines a pruner without options.
macro_rules! pruner {
    ($name:ident, $kind:literal, $about:literal, |$columns:ident, $out:ident| $body:block) => {
        pub struct $name;

        impl Component for $name {
            const KIND: &'static str = $kind;
            const ABOUT: &'static str = $about;
            type Options = NoOptions;

            fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
                Ok(Self)
            }
        }

        impl Pruner for $name {
            fn scores(&self, _: &Host<'_>, $columns: &Columns<'_>, $out: &mut [f64]) -> Result<()> {
                $body
                Ok(())
            }
        }
    };
}

pruner!(ByPlace, "by-place", "prunes what comes last", |_columns, out| {
    out.iter_mut().zip(0_u32..).for_each(|(out, row)| *out = f64::from(row));
});

pruner!(ByEverything, "by-everything", "adds all columns up", |columns, out| {
    for (row, out) in out.iter_mut().enumerate() {
        *out = columns.values.chunks(columns.rows).map(|column| column[row]).filter(|value| value.is_finite()).sum();
    }
});

pruner!(Presumptuous, "presumptuous", "takes the first column for granted", |columns, out| {
    out.copy_from_slice(columns.get("mass_from").unwrap_or(&[]));
});

pruner!(Selective, "selective", "gives no score where it knows no mass", |columns, out| {
    let mass = columns.get("mass_from").unwrap_or_default();
    mass.iter().zip(out).filter(|(mass, _)| mass.is_finite()).for_each(|(mass, out)| *out = *mass);
});
