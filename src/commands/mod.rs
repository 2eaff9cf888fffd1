//! One file per subcommand: its arguments, and what it does.

pub mod classify;
pub mod healthcheck;
pub mod serve;
pub mod train;
