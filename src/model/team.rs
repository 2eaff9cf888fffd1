//! How many of libtorch's threads run a batch.

use std::num::NonZeroUsize;

/// Who runs a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Team {
    /// The calling thread.
    One,
    /// All threads that libtorch may use.
    All,
}

impl Team {
    /// Lets the team, of `all` threads, run what the calling thread asks of libtorch from now on. It is
    /// a setting of the thread, not of the process, and changing it costs next to nothing.
    pub fn assemble(self, all: NonZeroUsize) {
        let threads = match self {
            Self::One => 1,
            Self::All => all.get(),
        };
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }
}
