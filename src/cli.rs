//! Command line: which subcommand, with which arguments.

use clap::{CommandFactory, Parser, Subcommand};

#[cfg(target_os = "linux")]
use crate::commands::bench;
use crate::commands::completions::{self, CompletionsArgs, ManArgs};
use crate::commands::{classify, evaluate, healthcheck, import, serve, train};

/// Serves Network-in-Network image classifiers over HTTP.
///
/// Without a subcommand it serves: `nin-serve` is `nin-serve serve`.
#[derive(Debug, Parser)]
#[command(
    name = "nin-serve",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    #[cfg(target_os = "linux")]
    Bench(bench::BenchArgs),
    Classify(classify::Args),
    Healthcheck(healthcheck::Args),
    Train(Box<train::TrainArgs>),
    Evaluate(evaluate::EvaluateArgs),
    Import(import::ImportArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Cli {
    /// Runs what the command line asks for.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            None => serve::run(self.serve),
            Some(Command::Serve(args)) => serve::run(*args),
            #[cfg(target_os = "linux")]
            Some(Command::Bench(args)) => bench::run(&args),
            Some(Command::Classify(args)) => classify::run(args),
            Some(Command::Healthcheck(args)) => healthcheck::run(args),
            Some(Command::Train(args)) => train::run(&args),
            Some(Command::Evaluate(args)) => evaluate::run(&args),
            Some(Command::Import(args)) => import::run(&args),
            Some(Command::Completions(args)) => completions::completions(&args, Self::command()),
            Some(Command::Man(args)) => completions::man(&args, Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        let listen = |cli: Cli| match cli.command {
            None => cli.serve.config.listen,
            Some(Command::Serve(args)) => args.config.listen,
            Some(other) => panic!("{other:?}"),
        };
        for arguments in
            [&["nin-serve", "--listen=[::1]:9"][..], &["nin-serve", "serve", "--listen=[::1]:9"]]
        {
            let cli = Cli::try_parse_from(arguments).expect("valid arguments");
            assert_eq!(listen(cli).to_string(), "[::1]:9");
        }
    }
}
