//! `txray`: see what a neural network learned, what carried over to new data, and what fine-tuning changed.

// Only `output` knows what a stream that is closed or full means, and what may be shown.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod error;
mod output;
mod plugin;
mod store;
mod summary;
mod table;
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
use output::{say, tell};
use terminal::{Terminal, Verbosity};

fn main() -> ExitCode {
    output::begin();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
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
    ended(result)
}

/// Help and the version are results; whatever else clap has to say is a fault of the command line.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    if error.use_stderr() {
        // Without clap's colours: it quotes what it was given as it is.
        output::report(&plain(&text.to_string()));
        return ExitCode::from(2);
    }
    output::help(&if output::has_colours() { text.ansi().to_string() } else { text.to_string() });
    ended(Ok(()))
}

/// What the process exits with. A command that did what it was asked to has failed where its results went nowhere.
fn ended(result: Result<(), Error>) -> ExitCode {
    let printed = || output::refusal().map_or(Ok(()), |why| Err(Error::Unprinted(why)));
    match result.and_then(|()| printed()) {
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
    output::results(&summary::of(&pipeline, &outcome, &out)?);
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
    output::results(&told);
    for path in outcome.manifest.inputs_changed(&earlier) {
        say!("input changed since: {}", path.display());
    }
    if outcome.manifest.instructions != earlier.instructions {
        say!("instruction set: {} then, {} now", earlier.instructions, outcome.manifest.instructions);
    }
    let changed = outcome.manifest.outputs_changed(&earlier);
    if changed.is_empty() {
        say!("Every table and every weight has the bytes of {}", args.pipeline.config.display());
        return Ok(());
    }
    for path in &changed {
        say!("differs: {path}");
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
    terminal.stop.listen().map_err(|error| Error::system("listen for Ctrl-C", error))?;
    let outcome = run(pipeline, registry, &plan, store, out, terminal);
    terminal.clear();
    if matches!(outcome, Err(EngineError::Cancelled)) {
        let store = store.root().display();
        tell!("stopped: what is finished is kept in {store}, and the same command goes on from there");
        return Err(Error::Stopped { signal: terminal.stop.signal() });
    }
    Ok(outcome?)
}

fn check(args: &PipelineArgs, verbosity: Verbosity) -> Result<(), Error> {
    let (pipeline, _) = read(args, &terminal(args, verbosity)?)?;
    let counts: Vec<String> = pipeline.counts().iter().map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "it has no tables".to_owned() } else { counts.join(", ") };
    say!("{} is sound: {counts}", args.config.display());
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
        say!("{:<32} {state}", step.id());
    }
    Ok(())
}

/// The terminal, and the threads of the run.
fn terminal(args: &PipelineArgs, verbosity: Verbosity) -> Result<Terminal, Error> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(available, |threads| threads as usize);
    // The tokenizer works in rayon's own pool.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| Error::system("start the threads of --threads", error))?;
    Ok(Terminal::new(verbosity, threads))
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
    let mut text = String::new();
    let mut show = |one: &Diagnostic| {
        let before = text.len();
        if handler.render_report(&mut text, one).is_err() {
            text.truncate(before);
            text += &output::line(&format!("{one:#}"));
        }
    };
    match error {
        Error::Engine(EngineError::Config(diagnostics)) => {
            diagnostics.iter().for_each(&mut show);
            if diagnostics.len() > 1 {
                text += &output::line(&diagnostics.to_string());
            }
        }
        // Said already, with what is kept.
        Error::Stopped { .. } | Error::Engine(EngineError::Cancelled) => {}
        other => show(&Diagnostic::new(other.to_string())),
    }
    // At once: a pipeline can have very many.
    output::report(&text);
}

/// Where steps are kept unless `--store` says otherwise: the user's cache directory.
fn default_store() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("txray"))
}
