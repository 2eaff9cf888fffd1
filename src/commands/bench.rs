//! `nin-serve bench`: how fast, and how close to what the machine allows.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::bench::{self, Peer, Plan};
use crate::config::{PrecisionChoice, positive_duration};
use crate::threads::Threads;
use std::num::NonZeroUsize;

/// Measure the service, and the ceiling that the machine sets
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The service runs as a process of its own on the loopback interface, with the defaults of `serve` but
for the precision.
Let the machine be quiet. It takes two to four minutes for each model.

Examples:
  nin-serve bench --quick
  nin-serve bench --only nin-mnist-mlpconv --json > bench.json")]
pub struct BenchArgs {
    /// Folder that holds one folder for each model
    #[arg(long, value_name = "FOLDER", env = "NIN_MODELS", default_value = "models")]
    models: PathBuf,
    /// Measure these models only, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Arithmetic of the served networks
    #[arg(long, value_name = "KIND", default_value = "auto")]
    precision: PrecisionChoice,
    /// How often everything is measured
    #[arg(long, value_name = "COUNT", default_value = "3")]
    rounds: NonZeroUsize,
    /// Of one measurement over HTTP; those without it take a third
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = positive_duration)]
    duration: Duration,
    /// In the run at the end that shows whether memory grows; 0: none
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    requests: usize,
    /// Another server of nin-cifar10, up already, that takes pictures by POST; see scripts/peer.py
    #[arg(long, value_name = "ADDRESS/PATH")]
    peer: Option<Peer>,
    /// One round of short measurements: shows that all works, not how fast it is
    #[arg(long, conflicts_with_all = ["rounds", "duration", "requests"])]
    quick: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    // As the service does.
    crate::environment::complete().context("starting over")?;
    crate::memory::keep_freed_blocks();
    let (rounds, duration, requests) = match args.quick {
        true => (1, Duration::from_millis(300), None),
        false => (args.rounds.get(), args.duration, NonZeroUsize::new(args.requests)),
    };
    let plan = Plan {
        models: args.models.clone(),
        only: args.only.clone(),
        precision: args.precision.fixed(),
        rounds,
        duration,
        requests,
        peer: args.peer.clone(),
        threads: Threads::detect(None, None),
    };
    let report = bench::run(&plan, |what| eprintln!("{what}"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.json)?);
    } else {
        print!("{}", report.markdown);
    }
    Ok(())
}
