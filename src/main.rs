//! The command line.

use clap::Parser;
use nin_serve::commands::{evaluate, import, train};

#[derive(Debug, Parser)]
enum Command {
    Train(train::TrainArgs),
    Evaluate(evaluate::EvaluateArgs),
    Import(import::ImportArgs),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Train(args) => train::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Import(args) => import::run(&args),
    }
}
