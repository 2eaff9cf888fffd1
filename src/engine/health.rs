//! Whether a network is there to answer.

use std::time::Instant;

use super::ended;
use crate::batching::EngineFailure;

/// Whether an engine can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// The network panicked and is being built anew.
    Rebuilding {
        since: Instant,
        /// Of the panic, or of the last failing rebuild. For the log.
        cause: String,
        /// Rebuilds that failed.
        failed: u32,
    },
    /// The engine has ended.
    Dead,
}

impl Health {
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Whether batches shall wait until it changes.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Rebuilding { failed: 0, .. })
    }

    /// What batches are told that shall not wait; none if they are run.
    pub(super) fn refusal(&self) -> Option<EngineFailure> {
        match self {
            Self::Ready => None,
            Self::Rebuilding { cause, .. } => {
                let cause = format!("the network could not be rebuilt: {cause}");
                Some(EngineFailure { cause })
            }
            Self::Dead => Some(ended()),
        }
    }
}
