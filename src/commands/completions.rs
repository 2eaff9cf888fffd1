//! `nin-serve completions` and `nin-serve man`: the command line, described for shells and readers.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nin-serve completions bash > ~/.local/share/bash-completion/completions/nin-serve
  nin-serve completions fish > ~/.config/fish/completions/nin-serve.fish
  nin-serve completions zsh > ~/.zfunc/_nin-serve")]
pub struct CompletionsArgs {
    shell: Shell,
}

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nin-serve man | man -l -
  nin-serve man --folder /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write a page for each subcommand, too, into this folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub fn completions(args: &CompletionsArgs, mut cli: Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "nin-serve", &mut script);
    // At once, so that a closed pipe is an error and not a panic.
    Ok(io::stdout().write_all(&script)?)
}

pub fn man(args: &ManArgs, cli: Command) -> anyhow::Result<()> {
    if let Some(folder) = &args.folder {
        return clap_mangen::generate_to(cli, folder)
            .with_context(|| format!("--folder {}", folder.display()));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(cli).render(&mut page)?;
    Ok(io::stdout().write_all(&page)?)
}
