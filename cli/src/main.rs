//! `txray`: see what a neural network learned, what carried over to new data, and what fine-tuning changed.

mod args;
mod error;
mod plugin;
mod store;
mod summary;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use txray_config::{Diagnostic, plain};
use txray_engine::error::Error as EngineError;
use txray_engine::pipeline::Pipeline;
use txray_engine::plan::{Plan, Reason};
use txray_engine::run::{Outcome, run};
use txray_engine::steps::catalogue;
use txray_engine::store::Store;
use txray_host::{Policy, Registry};
use txray_plugin::Host;
use txray_tables::Manifest;

use args::{Cli, Command, PipelineArgs, PlanArgs, RunArgs};
use error::Error;
use terminal::{Terminal, Verbosity};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let result = match &cli.command {
        Command::Run(args) if is_manifest(&args.pipeline.config) => run_again(args, verbosity),
        Command::Run(args) => run_once(args, verbosity),
        Command::Check(args) => check(args, verbosity),
        Command::Plan(args) => plan(args, verbosity),
        Command::Store(args) => store::command(args),
        Command::Plugin(args) => plugin::command(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

fn run_once(args: &RunArgs, verbosity: Verbosity) -> Result<(), Error> {
    let terminal = terminal(&args.pipeline, verbosity)?;
    let (pipeline, registry) = read(&args.pipeline, &terminal)?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(&pipeline.name));
    let outcome = execute(&pipeline, &registry, &args.store.open()?, &out, &terminal)?;
    print!("{}", summary::of(&pipeline, &outcome, &out)?);
    Ok(())
}

/// Repeats the run of a manifest, from the beginning and not from the store, and says whether the bytes agree.
fn run_again(args: &RunArgs, verbosity: Verbosity) -> Result<(), Error> {
    let terminal = terminal(&args.pipeline, verbosity)?;
    let earlier = Manifest::read(&args.pipeline.config)?;
    let mut registry = built_in(args.pipeline.policy.policy()?)?;
    let mut manifest = earlier.clone();
    if let Some(data) = &args.pipeline.data {
        manifest.data = Some(data.clone());
    }
    let pipeline = Pipeline::again(&manifest, &args.pipeline.set, &catalogue(), &mut registry, &Host::new(&terminal))
        .map_err(EngineError::from)?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{}-again", pipeline.name)));
    // A store of its own: steps of the run that is repeated must not be there already.
    let own = out.join(".store");
    let outcome = execute(&pipeline, &registry, &Store::open(&own)?, &out, &terminal)?;
    // The summary reads the steps in that store, which is removed next.
    let told = summary::of(&pipeline, &outcome, &out)?;
    std::fs::remove_dir_all(&own).map_err(|error| Error::disk("remove", &own, error))?;
    print!("{told}");
    for path in outcome.manifest.inputs_changed(&earlier) {
        println!("input changed since: {}", plain(&path.display().to_string()));
    }
    if outcome.manifest.instructions != earlier.instructions {
        println!("instruction set: {} then, {} now", plain(&earlier.instructions), outcome.manifest.instructions);
    }
    let changed = outcome.manifest.outputs_changed(&earlier);
    if changed.is_empty() {
        println!("Every table and every weight has the bytes of {}", args.pipeline.config.display());
        return Ok(());
    }
    for path in &changed {
        println!("differs: {}", plain(path));
    }
    Err(Error::Differs { count: changed.len(), manifest: args.pipeline.config.clone() })
}

fn execute(
    pipeline: &Pipeline,
    registry: &Registry,
    store: &Store,
    out: &Path,
    terminal: &Terminal,
) -> Result<Outcome, Error> {
    let plan = Plan::of(pipeline, registry)?;
    let outcome = run(pipeline, registry, &plan, store, out, terminal);
    terminal.clear();
    if matches!(outcome, Err(EngineError::Cancelled)) {
        let store = store.root().display();
        eprintln!("stopped: what is finished is kept in {store}, and the same command goes on from there");
    }
    Ok(outcome?)
}

fn check(args: &PipelineArgs, verbosity: Verbosity) -> Result<(), Error> {
    let (pipeline, _) = read(args, &terminal(args, verbosity)?)?;
    let counts: Vec<String> = pipeline.counts().iter().map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "it has no tables".to_owned() } else { counts.join(", ") };
    println!("{} is sound: {counts}", args.config.display());
    Ok(())
}

/// Tells the steps of a pipeline: what is done, what would run and why.
fn plan(args: &PlanArgs, verbosity: Verbosity) -> Result<(), Error> {
    let (pipeline, registry) = read(&args.pipeline, &terminal(&args.pipeline, verbosity)?)?;
    let store = args.store.open()?;
    let recent = store.recent(&pipeline.name);
    let plan = Plan::of(&pipeline, &registry)?;
    for step in &plan.steps {
        let state = if store.get(&step.key)?.is_some() {
            "done".to_owned()
        } else {
            match plan.reason(step, &recent) {
                Reason::New => "will run: it was never made".to_owned(),
                Reason::Gone => "will run: it is no longer in the store".to_owned(),
                Reason::Changed(what) => format!("will run: {} changed", what.join(", ")),
            }
        };
        println!("{:<32} {state}", step.id());
    }
    Ok(())
}

/// The terminal, and the threads of the run. Ctrl-C asks the run to stop; a second one ends the process.
fn terminal(args: &PipelineArgs, verbosity: Verbosity) -> Result<Terminal, Error> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(available, |threads| threads as usize);
    // The tokenizer works in rayon's own pool.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| Error::system("start the threads of --threads", error))?;
    let terminal = Terminal::new(verbosity, threads);
    let stop = terminal.stop();
    ctrlc::set_handler(move || stop.ask()).map_err(|error| Error::system("listen for Ctrl-C", error))?;
    Ok(terminal)
}

fn built_in(policy: Policy) -> Result<Registry, Error> {
    txray_built_in::registry(policy).map_err(Error::BuiltIn)
}

fn read(args: &PipelineArgs, terminal: &Terminal) -> Result<(Pipeline, Registry), Error> {
    let mut registry = built_in(args.policy.policy()?)?;
    let host = Host::new(terminal);
    let pipeline = Pipeline::read(&args.config, &args.set, args.data.as_deref(), &catalogue(), &mut registry, &host)
        .map_err(EngineError::from)?;
    Ok((pipeline, registry))
}

/// Errors go to standard error: those of the pipeline with their line and caret.
fn report(error: &Error) {
    let handler = miette::GraphicalReportHandler::new();
    let show = |one: &Diagnostic| {
        let mut text = String::new();
        match handler.render_report(&mut text, one) {
            Ok(()) => eprint!("{text}"),
            Err(_) => eprintln!("{one:#}"),
        }
    };
    match error {
        Error::Engine(EngineError::Config(diagnostics)) => {
            diagnostics.iter().for_each(show);
            if diagnostics.len() > 1 {
                eprintln!("{diagnostics}");
            }
        }
        // Said already, with what is kept.
        Error::Engine(EngineError::Cancelled) => {}
        other => show(&Diagnostic::new(other.to_string())),
    }
}

/// Where steps are kept unless `--store` says otherwise: the user's cache directory.
fn default_store() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("txray"))
}
