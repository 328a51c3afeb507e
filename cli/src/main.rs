//! `txray`: see what a neural network learned, what carried over to new data, and what fine-tuning changed.

mod summary;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use txray_engine::config::Pipeline;
use txray_engine::document::Diagnostic;
use txray_engine::error::Error;
use txray_engine::registry::{Origin, Registry};
use txray_plugin::Host;

use terminal::{Terminal, Verbosity};

/// See what a neural network learned, what carried over to new data, and what fine-tuning changed.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say nothing but results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline.
    Run(RunArgs),
    /// Check a pipeline whole; nothing runs.
    Check(PipelineArgs),
}

#[derive(Args)]
struct PipelineArgs {
    /// The pipeline, a TOML file.
    config: PathBuf,
    /// Where relative paths of corpora are looked for, before the folder of the pipeline.
    #[arg(long, value_name = "DIR", env = "TXRAY_DATA")]
    data: Option<PathBuf>,
    /// Set a value of the pipeline, such as `model.lm.train.epochs=2`. May be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Threads to use. Default: one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Where to leave what the run gives. Default: `runs/` and the pipeline's name.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let result = match &cli.command {
        Command::Run(args) => run(args, verbosity),
        Command::Check(args) => check(args, verbosity),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &RunArgs, verbosity: Verbosity) -> Result<(), Error> {
    let terminal = terminal(&args.pipeline, verbosity)?;
    let (pipeline, registry) = read(&args.pipeline, &terminal)?;
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(&pipeline.name));
    let outcome = txray_engine::run::run(&pipeline, &registry, &out, &terminal);
    terminal.clear();
    print!("{}", summary::of(&pipeline, &outcome?, &out));
    Ok(())
}

fn check(args: &PipelineArgs, verbosity: Verbosity) -> Result<(), Error> {
    let (pipeline, _) = read(args, &terminal(args, verbosity)?)?;
    println!(
        "{} is sound: {} models, {} stages, {} comparisons",
        args.config.display(),
        pipeline.models.len(),
        pipeline.stages.len(),
        pipeline.comparisons.len()
    );
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
        .map_err(|error| Error::Internal(format!("cannot start {threads} threads: {error}")))?;
    Ok(Terminal::new(verbosity, threads))
}

fn read(args: &PipelineArgs, terminal: &Terminal) -> Result<(Pipeline, Registry), Error> {
    let mut registry = Registry::new();
    for plugin in [txray_metrics::plugin(), txray_lstm::plugin()] {
        registry.add(plugin, Origin::BuiltIn).map_err(|error| Error::Internal(error.to_string()))?;
    }
    let host = Host::new(terminal);
    let pipeline = Pipeline::read(&args.config, &args.set, args.data.as_deref(), &mut registry, &host)?;
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
        Error::Config(diagnostics) => {
            diagnostics.iter().for_each(show);
            if diagnostics.len() > 1 {
                eprintln!("{diagnostics}");
            }
        }
        other => show(&Diagnostic::new(other.to_string())),
    }
}
