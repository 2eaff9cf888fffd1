//! The real binary on real sockets.

mod commands;
mod connections;
mod observation;
mod process;
mod shutdown;
mod start;
