//! One file per subcommand: its arguments, and what it does.

pub mod classify;
pub mod completions;
pub mod evaluate;
pub mod healthcheck;
pub mod import;
pub mod serve;
mod table;
pub mod train;
