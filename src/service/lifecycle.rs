//! Who is let in, and whether anybody should come.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ServiceError;
use crate::traces::Trace;

/// Opens at the start and closes once, for good.
#[derive(Debug, Default)]
pub(super) struct Gate {
    leaving: AtomicBool,
    draining: AtomicBool,
    accepted: TaskTracker,
}

/// An accepted request. Shutdown waits until it is dropped.
#[derive(Debug)]
pub struct Ticket {
    arrived: Instant,
    deadline: Instant,
    trace: Trace,
    _accepted: TaskTrackerToken,
}

impl Ticket {
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// When the answer is of no use any more. It covers everything from the arrival on.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Has the stages of the request recorded in `trace`.
    pub fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Lets the client wait less than it could, from the arrival on.
    pub fn limit(&mut self, patience: Duration) {
        // A deadline beyond the clock's range is none.
        if let Some(deadline) = self.arrived.checked_add(patience) {
            self.deadline = self.deadline.min(deadline);
        }
    }
}

impl Gate {
    pub(super) fn accept(&self, patience: Duration) -> Result<Ticket, ServiceError> {
        // Counted before the look at the latch: `drained` either waits for this one, or this one
        // sees the latch.
        let accepted = self.accepted.token();
        if self.is_draining() {
            return Err(ServiceError::ShuttingDown);
        }
        let arrived = Instant::now();
        let (deadline, trace) = (arrived + patience, Trace::default());
        Ok(Ticket { arrived, deadline, trace, _accepted: accepted })
    }

    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    pub(super) fn drain(&self) {
        self.leave();
        self.draining.store(true, Ordering::SeqCst);
        self.accepted.close();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(super) async fn drained(&self) {
        self.accepted.wait().await;
    }

    pub(super) fn in_flight(&self) -> usize {
        self.accepted.len()
    }
}

/// A reason why the service is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unready {
    ShuttingDown,
    /// The model's network is being built anew.
    Rebuilding(String),
    /// The model's engine or queue has ended.
    Dead(String),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShuttingDown => f.write_str("shutting down"),
            Self::Rebuilding(model) => write!(f, "model {model}: the network is being rebuilt"),
            Self::Dead(model) => write!(f, "model {model}: the engine has ended"),
        }
    }
}
