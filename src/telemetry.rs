//! Logs: to standard error, as text for people or one JSON object a line for machines.

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::batching::panic_message;

/// How and what to log.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logs")]
pub struct LogConfig {
    /// Text for people, or one JSON object a line
    #[arg(long, value_name = "FORMAT", env = "NIN_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What to log: a level (error, warn, info, debug, trace), or levels by module such as
    /// `warn,nin_serve=debug`. Without it `RUST_LOG` counts
    #[arg(long, value_name = "FILTER", env = "NIN_LOG_LEVEL", value_parser = filter)]
    pub log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Checked here, kept as text: `EnvFilter` can't be cloned.
fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Starts logging for the whole process; `default` is the level if the user asks for none.
pub fn init(config: &LogConfig, default: &str) -> anyhow::Result<()> {
    let filter = match &config.log_level {
        Some(filter) => EnvFilter::try_new(filter)?,
        None => EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(default))?,
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_thread_names(true);
    let registry = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Text => registry.with(layer).try_init()?,
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
    }
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Panics are caught and answered where they happen; here they get into the log as one line.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = panic_message(info.payload());
    let location = info.location().map(ToString::to_string);
    tracing::error!(location, "panic: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        assert!(filter("warn,nin_serve=debug").is_ok());
        assert!(filter("nin_serve=loud").is_err());
    }
}
