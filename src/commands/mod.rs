//! One file per subcommand: its arguments, and what it does.

#[cfg(target_os = "linux")]
pub mod bench;
pub mod classify;
pub mod completions;
pub mod evaluate;
pub mod healthcheck;
pub mod import;
pub mod serve;
mod table;
pub mod train;
