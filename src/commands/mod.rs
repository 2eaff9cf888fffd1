//! One file for each subcommand.

pub mod evaluate;
pub mod import;
pub mod train;
