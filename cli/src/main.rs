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

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use txray_config::{Diagnostic, plain};
use txray_engine::error::Error as EngineError;
use txray_engine::out::OutDirectory;
use txray_engine::pipeline::Pipeline;
use txray_engine::plan::{Plan, Reason};
use txray_engine::run::{self, Outcome};
use txray_engine::shard::{Parts, Shard};
use txray_engine::steps::catalogue;
use txray_engine::store::Store;
use txray_host::{Policy, Registry};
use txray_plugin::{Host, HostServices, Level};
use txray_tables::{Difference, Manifest};

use args::{Cli, Command, MergeArgs, PipelineArgs, PlanArgs, PolicyArgs, RunArgs};
use error::Error;
use output::{say, tell};
use terminal::{Terminal, Verbosity};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let result = match &cli.command {
        Command::Run(args) if is_manifest(&args.pipeline.config) => run_again(args, verbosity),
        Command::Run(args) => run_once(args, verbosity),
        Command::Merge(args) => merge(args, verbosity),
        Command::Check(args) => check(args, verbosity),
        Command::Plan(args) => plan(args, verbosity),
        Command::Store(args) => store::command(args),
        Command::Plugin(args) => plugin::command(args),
        Command::Extension(args) => plugin::extension(args),
        Command::Schema(args) => schema(args),
        Command::Completions { shell } => {
            completions(*shell);
            Ok(())
        }
    };
    ended(result)
}

/// Help and the version are results; whatever else clap has to say is a fault of the command line.
fn usage(error: clap::Error) -> ExitCode {
    let error = with_tip(error);
    let has_colours = output::has_colours(error.use_stderr());
    let shown = |error: &clap::Error| match error.render() {
        text if has_colours => text.ansi().to_string(),
        text => text.to_string(),
    };
    if !error.use_stderr() {
        output::help(&shown(&error));
        return ended(Ok(()));
    }
    // What is wrong is quoted as it was given: of the same in plain text, the same is wrong.
    let plainly = std::env::args_os().map(|argument| output::one_line(&argument.to_string_lossy()).into_owned());
    match Cli::try_parse_from(plainly) {
        Err(error) => output::report(&shown(&with_tip(error))),
        Ok(_) => output::report(&plain(&error.to_string())),
    }
    ExitCode::from(2)
}

/// With what may have been meant: a pipeline in the place of a command, and a value that the shell took apart.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let tip = match (error.get(ContextKind::InvalidSubcommand), error.get(ContextKind::InvalidArg)) {
        (Some(ContextValue::String(name)), _) if name.ends_with(".toml") || name.ends_with(".json") => {
            Some(format!("to run it: txray run {name}"))
        }
        (_, Some(ContextValue::String(argument))) if error.kind() == ErrorKind::UnknownArgument => {
            let whole = taken_apart(argument);
            whole.map(|whole| format!("a value with spaces is one in quotes: --set '{whole}'"))
        }
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The assignment behind `--set` that `argument` may be the second part of: shells split at spaces what is not in quotes.
fn taken_apart(argument: &str) -> Option<String> {
    let all: Vec<String> =
        std::env::args_os().map(|one| output::one_line(&one.to_string_lossy()).into_owned()).collect();
    let at = all.iter().position(|one| one == argument)?;
    let set = all[..at].iter().rposition(|one| one.starts_with('-')).filter(|set| all[*set] == "--set")?;
    let end = all[at..].iter().position(|one| one.starts_with('-')).map_or(all.len(), |end| at + end);
    (at == set + 2).then(|| all[set + 1..end].join(" "))
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
    let terminal = terminal(args.pipeline.threads, verbosity)?;
    let (pipeline, registry) = read(&args.pipeline, &terminal)?;
    has_steps(&pipeline)?;
    let name = match args.shard {
        None => pipeline.name.clone(),
        Some(shard) => format!("{}-{}", pipeline.name, shard.to_string().replace('/', "-of-")),
    };
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(name));
    let mut out = open_out(&out, &terminal)?;
    let store = args.store.create()?;
    let outcome = execute(&pipeline, &registry, &store, &mut out, &terminal, Work::Read(args.shard))?;
    output::results(&summary::of(&pipeline, &outcome, out.path())?);
    Ok(())
}

/// Makes one run of the parts that shards left.
fn merge(args: &MergeArgs, verbosity: Verbosity) -> Result<(), Error> {
    let parts = Parts::read(&args.parts)?;
    let terminal = terminal(args.threads, verbosity)?;
    let mut registry = built_in(args.policy.policy()?)?;
    let (manifest, data) = (parts.manifest(), args.data.as_deref());
    let pipeline = Pipeline::again(&manifest, &[], data, &catalogue(), &mut registry, &Host::new(&terminal))?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(&pipeline.name));
    let mut out = open_out(&out, &terminal)?;
    let store = args.store.create()?;
    let outcome = execute(&pipeline, &registry, &store, &mut out, &terminal, Work::Merge(&parts))?;
    output::results(&summary::of(&pipeline, &outcome, out.path())?);
    Ok(())
}

/// Repeats the run of a manifest, from the beginning and not from the store, and says whether the bytes agree.
fn run_again(args: &RunArgs, verbosity: Verbosity) -> Result<(), Error> {
    let terminal = terminal(args.pipeline.threads, verbosity)?;
    let earlier = Manifest::read(&args.pipeline.config)?;
    let (pipeline, registry) = read(&args.pipeline, &terminal)?;
    let shard = earlier.shard.as_ref().and_then(Shard::again);
    if args.shard.is_some() && args.shard != shard {
        let found = shard.map_or("a whole run".to_owned(), |shard| format!("the shard {shard}"));
        return Err(Error::OtherShard { manifest: args.pipeline.config.clone(), found });
    }
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{}-again", pipeline.name)));
    let mut out = open_out(&out, &terminal)?;
    // A store of its own: steps of the run that is repeated must not be there already. One that is stopped goes on.
    let store = out.store().map_err(EngineError::from)?;
    let outcome = execute(&pipeline, &registry, &store, &mut out, &terminal, Work::Read(shard))?;
    output::results(&summary::of(&pipeline, &outcome, out.path())?);
    for path in outcome.manifest.inputs_changed(&earlier) {
        say!("input changed since: {}", path.display());
    }
    if outcome.manifest.instructions != earlier.instructions {
        say!("instruction set: {} then, {} now", earlier.instructions, outcome.manifest.instructions);
    }
    let manifest = &args.pipeline.config;
    let differences = outcome.manifest.differences(&earlier);
    for difference in &differences {
        match difference {
            Difference::Changed(path) => say!("differs: {path}"),
            Difference::Missing(path) => say!("missing: {path}"),
            Difference::Extra(path) => say!("not in the manifest: {path}"),
        }
    }
    if !differences.is_empty() {
        return Err(Error::Differs { count: differences.len(), manifest: manifest.clone() });
    }
    match earlier.results().count() {
        0 => say!("{} lists no table and no weight: there is nothing to agree with", manifest.display()),
        _ => say!("Every table and every weight has the bytes of {}", manifest.display()),
    }
    Ok(())
}

/// A run holds a lock of each of its steps, and pipelines can have thousands of them: as many files may be open as the system
/// lets us have.
fn open_many() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where it is refused, most pipelines do with what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

fn open_out(path: &Path, terminal: &Terminal) -> Result<OutDirectory, Error> {
    let opened = OutDirectory::open(path, &Host::new(terminal), || {
        terminal.log(Level::Warning, &format!("waiting for another run into {}", path.display()));
    });
    Ok(opened.map_err(EngineError::from)?)
}

/// What a run is made of.
enum Work<'a> {
    /// Of all documents, or of those of a shard.
    Read(Option<Shard>),
    /// Of the parts that shards left.
    Merge(&'a Parts),
}

fn execute(
    pipeline: &Pipeline,
    registry: &Registry,
    store: &Store,
    out: &mut OutDirectory,
    terminal: &Terminal,
    work: Work<'_>,
) -> Result<Outcome, Error> {
    let host = Host::new(terminal);
    open_many();
    terminal.stop.listen().map_err(|error| Error::system("listen for Ctrl-C", error))?;
    let outcome = match work {
        Work::Read(shard) => Plan::of(pipeline, registry, &host, shard)
            .and_then(|plan| run::run(pipeline, registry, &plan, store, out, terminal)),
        Work::Merge(parts) => Plan::of(pipeline, registry, &host, None)
            .and_then(|plan| run::merge(pipeline, registry, &plan, store, out, terminal, parts)),
    };
    terminal.clear();
    if matches!(outcome, Err(EngineError::Cancelled)) {
        let store = store.root().display();
        tell!("stopped: what is finished is kept in {store}, and the same command goes on from there");
        if let Some(signal) = terminal.stop.signal() {
            return Err(Error::Stopped { signal });
        }
    }
    Ok(outcome?)
}

fn check(args: &PipelineArgs, verbosity: Verbosity) -> Result<(), Error> {
    let (pipeline, _) = read(args, &terminal(args.threads, verbosity)?)?;
    let counts: Vec<String> = pipeline.counts().iter().map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "it has no tables".to_owned() } else { counts.join(", ") };
    say!("{} is sound: {counts}", args.config.display());
    if let Err(error) = has_steps(&pipeline) {
        say!("{error}");
    }
    Ok(())
}

/// What has no step was not meant to be run so.
fn has_steps(pipeline: &Pipeline) -> Result<(), Error> {
    if pipeline.has_steps() { Ok(()) } else { Err(Error::NoStep(pipeline.file.clone())) }
}

/// Tells the steps of a pipeline: what is done, what would run and why.
fn plan(args: &PlanArgs, verbosity: Verbosity) -> Result<(), Error> {
    let terminal = terminal(args.pipeline.threads, verbosity)?;
    let (pipeline, registry) = read(&args.pipeline, &terminal)?;
    has_steps(&pipeline)?;
    // Nothing is made of looking: without a store, nothing was made yet.
    let store = args.store.find()?;
    let recent = store.as_ref().map(|store| store.recent(&pipeline.name)).unwrap_or_default();
    let plan = Plan::of(&pipeline, &registry, &Host::new(&terminal), None)?;
    for step in &plan.steps {
        let state = if store.as_ref().is_some_and(|store| store.get(&step.key).is_some()) {
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

/// Prints the JSON Schema of pipelines.
fn schema(args: &PolicyArgs) -> Result<(), Error> {
    let found = plugin::Found::of(args)?;
    let components = found.usable.iter().flat_map(|(plugin, _)| &plugin.components);
    output::json(&txray_engine::schema::of(&catalogue(), components));
    for line in &found.unusable {
        tell!("not usable: {line}");
    }
    Ok(())
}

/// Prints what a shell completes commands by.
fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "txray", &mut script);
    output::results(&String::from_utf8_lossy(&script));
}

/// The terminal, and the threads of the run.
fn terminal(threads: Option<u32>, verbosity: Verbosity) -> Result<Terminal, Error> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.map_or(available, |threads| threads as usize);
    // The tokenizer works in rayon's own pool.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|source| Error::Threads { threads, source })?;
    Ok(Terminal::new(verbosity, threads))
}

fn built_in(policy: Policy) -> Result<Registry, Error> {
    txray_built_in::registry(policy).map_err(Error::BuiltIn)
}

/// The pipeline of a file: of its TOML, or of the run whose manifest it is.
fn read(args: &PipelineArgs, terminal: &Terminal) -> Result<(Pipeline, Registry), Error> {
    let mut registry = built_in(args.policy.policy()?)?;
    let host = Host::new(terminal);
    let (path, set, data) = (&args.config, &args.set, args.data.as_deref());
    let pipeline = if is_manifest(path) {
        Pipeline::again(path, set, data, &catalogue(), &mut registry, &host)?
    } else {
        Pipeline::read(path, set, data, &catalogue(), &mut registry, &host).map_err(EngineError::from)?
    };
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
            match diagnostics.more() {
                0 if diagnostics.len() == 1 => {}
                0 => text += &output::line(&diagnostics.to_string()),
                more => text += &output::line(&format!("{diagnostics}: these, and {more} more")),
            }
        }
        Error::Engine(EngineError::Steps(failed)) => {
            failed.errors.iter().for_each(|one| show(&told(&one.to_string(), one.is_full())));
            if !failed.unmade.is_empty() {
                text += &output::line(&format!("not made because of that: {}", failed.unmade.join(", ")));
            }
            if failed.done > 0 {
                let done = if failed.done == 1 { "1 step is" } else { &format!("{} steps are", failed.done) };
                let store = failed.store.display();
                text += &output::line(&format!(
                    "{done} done, and kept in {store}: once that is mended, the same command goes on from there"
                ));
            }
        }
        // Said already, with what is kept.
        Error::Stopped { .. } | Error::Engine(EngineError::Cancelled) => {}
        Error::Engine(error) => show(&told(&error.to_string(), error.is_full())),
        other => show(&told(&other.to_string(), false)),
    }
    // At once: a pipeline can have very many.
    output::report(&text);
}

/// An error without a place in the pipeline, with what to do where the disk is full.
fn told(message: &str, is_full: bool) -> Diagnostic {
    let error = Diagnostic::new(message);
    if is_full { error.help(FULL) } else { error }
}

/// What to do about a disk that is full.
const FULL: &str = "make room, for instance with `txray store gc`, or work on another disk: `--store DIR`, `--out DIR`";

/// Where steps are kept unless `--store` says otherwise: the user's cache directory.
fn default_store() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("txray"))
}
