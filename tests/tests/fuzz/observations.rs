//! Observations that other programs recorded.

use serde_json::json;
use txray_host::{FindError, Policy};
use txray_method::{AsGiven, Extent};
use txray_plugin::{Error, Fault, Host};
use txray_tables::Folder as Tables;
use txray_tables::columns::observations;
use txray_tests::{Folder, path};

use crate::{Outcome, fuzz, put};

#[test]
fn recorded() {
    let registry = txray_built_in::registry(Policy::default()).unwrap();
    let host = Host::detached();
    let text = path("../plugins/sources/tests/observations.tsv");
    // The same as a stage has them.
    let folder = Folder::new();
    let mut source = registry.source("observations", &json!({ "path": text }), &host).unwrap();
    txray_method::read(&mut *source, &AsGiven, Extent::Whole, &host, &Tables(&folder.path(""))).unwrap();
    let parquet = std::fs::read(folder.path(observations::TABLE.file())).unwrap();
    let seeds = vec![std::fs::read(text).unwrap(), parquet];
    let words =
        ["doc", "group", "position", "site", "neuron", "activation", "start", "end", "token", "PAR1", "block.0"];
    fuzz("recorded", seeds, &words, move |input, _| {
        let file = folder.path("file");
        put(&file, input);
        let read = |options| -> Result<(), Error> {
            let source = registry.source("observations", &options, &Host::detached());
            let mut source = source.map_err(|error| match error {
                FindError::Refused(error) => error,
                _ => panic!("it is built in"),
            })?;
            source.describe()?;
            // Whether a batch fits, the host says.
            while source.next(&Host::detached())?.is_some() {}
            Ok(())
        };
        for options in [json!({ "path": file }), json!({ "path": file, "layers": ["token"], "width": 5 })] {
            if let Err(error) = read(options) {
                assert_eq!(error.fault(), Fault::Invalid, "{error}");
                assert!(!error.pointer().is_empty() && !error.message().trim().is_empty(), "{error}");
                return Outcome::Refused;
            }
        }
        Outcome::Read
    });
}
