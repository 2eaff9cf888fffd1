//! The real binary on real sockets.

mod commands;
mod connections;
mod observation;
pub mod process;
mod reload;
mod shutdown;
mod start;
mod tls;
mod traces;
