//! The command line.

use clap::Parser;
use nin_serve::commands::train;

#[derive(Debug, Parser)]
enum Command {
    Train(train::TrainArgs),
}

fn main() -> anyhow::Result<()> {
    let Command::Train(args) = Command::parse();
    train::run(&args)
}
