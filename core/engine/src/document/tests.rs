use miette::{GraphicalReportHandler, GraphicalTheme};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Config {
    seed: Option<u64>,
    #[serde(default)]
    model: BTreeMap<String, Model>,
    #[serde(default)]
    stage: BTreeMap<String, Stage>,
    #[serde(default)]
    sweep: Vec<Model>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Model {
    hidden: u32,
    embedding: Option<u32>,
    dropout: Option<f64>,
    train: Option<Train>,
    #[serde(default)]
    range: Option<[f64; 2]>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Train {
    epochs: u64,
    #[serde(default)]
    checkpoints: Vec<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Stage {
    corpus: String,
    model: String,
    record: Option<Record>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Record {
    #[serde(rename = "max-1")]
    Max1,
    TopK,
}

fn render(error: &dyn miette::Diagnostic) -> String {
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(80)
        .render_report(&mut out, error)
        .unwrap();
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn errors(text: &str) -> String {
    match Document::parse("run.toml", text.to_owned()) {
        Err(e) => render(&e),
        Ok(d) => {
            let mut diagnostics = Diagnostics::new();
            d.read::<Config>("", &mut diagnostics);
            render(&diagnostics) + &format!("\n{diagnostics:#}")
        }
    }
}

#[test]
fn explore() {
    for text in [
        "seed = \n[model\nx = abc\n",
        "[model.lm]\nhidden = 1\nhidden = 2\n[model.lm]\nhidden=3",
        "sed = 1\n[model.lm]\nhiden = 200\nembeding = 3\nzzz = 1\ntrain = { epoch = 1, epochs = 2 }\n[[sweep]]\nhidden = 1\n[[sweep]]\nhidden = 2\nbatch = 3",
        "seed = 'ä'\n[model.lm]\nhidden = -2\nrange = [1.0, 'x']\ndropout=true\ntrain = { epochs = 1, checkpoints = [1, 'a', 2, -3, 4] }\n[stage.a]\nrecord = 'max-2'\n[stage.b]\ncorpus = 1\n[stage]\nc=[1]\n",
        "x = 99999999999999999999\ny=nan\nz = 1e999\nd=1979-05-27\nw = 0x7fffffffffffffff\n",
        "seed = 'ä' #\r\n[model.'größe']\r\n'ä' = 1\r\nhidden = 'ü'\r\n",
    ] {
        println!("=====\n{}", errors(text));
    }
    let mut d = Document::parse("run.toml", "seed=1\n[stage.a]\nrecord='top-k'\n[x]\ny=[1,2]".into()).unwrap();
    for s in ["stage.a.record=max-2", "seed.x=2", "model.lm.train.epochs=2", "seed", "=", "a b=1", "x.y.1=[1,", "x.y.1=3", "x.y.7=3", "model.lm={hiden='a'}", "model.k.hidden='", "x=", "x=nan", "[x]\na=3","q=1\nr=2"] {
        println!("== {s}");
        match d.set(s) { Ok(()) => println!("{}", d.value()), Err(e) => println!("{}", render(&e)) }
    }
    let mut diagnostics = Diagnostics::new();
    d.read::<Config>("", &mut diagnostics);
    println!("{}", render(&diagnostics));
}
