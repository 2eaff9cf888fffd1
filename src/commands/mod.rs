//! One file per subcommand: its arguments, and what it does.

pub mod classify;
pub mod evaluate;
pub mod healthcheck;
pub mod import;
pub mod serve;
pub mod train;
