use std::process::ExitCode;

use clap::Parser;
use nin_serve::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` puts the chain of causes into one line.
            eprintln!("nin-serve: {error:#}");
            ExitCode::FAILURE
        }
    }
}
