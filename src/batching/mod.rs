//! The queue between requests and a network: admission, deadlines, batches.
//!
//! Knows nothing of HTTP or of tensors: a network is whatever implements [`Engine`].
//!
//! - **Work-conserving.** A timer that waits for a fuller batch taxes every request of a quiet
//!   service. Here an idle engine takes what is there at once; requests that arrive while it is
//!   busy make up the next batch. Batches so grow with the load, and only then.
//! - **Nobody computes for the dead.** [`Batcher::submit`] is the request: dropping its future
//!   takes the job out of the queue at once, with the memory it held, and so does its deadline.
//!   A queue full of requests that nobody waits for cannot shut out the living.
//! - **Blame the culprit.** Inputs are shared with the engine, never given away, so whatever it
//!   does to a batch, each of its jobs can be run once more, alone.
//! - **Gauges are read off the queue**, not counted beside it, so they cannot drift.

mod admission;
mod batcher;
mod collector;
mod observer;
mod queue;
mod ticket;

use std::future::Future;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

pub use admission::{BudgetExceeded, BytesPermit, MemoryBudget};
pub use batcher::{BatchConfig, Batcher, Job, SubmitError, answered};
pub(crate) use collector::panic_message;
pub use observer::{Dropped, Observer};
pub use queue::{Place, QueueStats};
pub use ticket::Answer;

/// Whatever can run a batch. The real one is [`crate::engine::NetworkEngine`].
///
/// A batcher runs one batch at a time.
pub trait Engine: Send + Sync + 'static {
    type Input: Send + Sync + 'static;
    type Output: Send + 'static;

    /// Runs one batch; the outputs are in the order of the inputs, one each.
    fn run(
        &self,
        batch: Batch<Self::Input>,
    ) -> impl Future<Output = Result<Vec<Self::Output>, EngineFailure>> + Send;

    /// Runs `work` on the calling thread, where batches run, and may get ready for one meanwhile.
    fn run_beside(&self, work: Work) {
        work();
    }
}

/// What takes but a moment.
pub type Work = Box<dyn FnOnce() + Send>;

/// The inputs that run together: a shared slice, so that neither a failing nor a panicking
/// engine can lose what is needed for a retry.
#[derive(Debug)]
pub struct Batch<I> {
    inputs: Arc<[I]>,
    range: Range<usize>,
}

impl<I> Batch<I> {
    /// The batches of one input each that make up this one, in its order.
    pub fn singles(&self) -> impl Iterator<Item = Self> + '_ {
        self.range
            .clone()
            .map(|index| Self { inputs: Arc::clone(&self.inputs), range: index..index + 1 })
    }
}

impl<I> From<Vec<I>> for Batch<I> {
    fn from(inputs: Vec<I>) -> Self {
        let range = 0..inputs.len();
        Self { inputs: inputs.into(), range }
    }
}

// Not derived: that would ask for `I: Clone`.
impl<I> Clone for Batch<I> {
    fn clone(&self) -> Self {
        Self { inputs: Arc::clone(&self.inputs), range: self.range.clone() }
    }
}

impl<I> Deref for Batch<I> {
    type Target = [I];

    fn deref(&self) -> &[I] {
        &self.inputs[self.range.clone()]
    }
}

/// A batch that failed.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct EngineFailure {
    /// For the log; never shown to a client.
    pub cause: String,
}

/// What a request gets back.
#[derive(Debug)]
pub struct Reply<O> {
    pub output: O,
    /// From admission to the queue until the batch that answered started.
    pub queue: Duration,
    /// The whole batch that answered, on the engine.
    pub inference: Duration,
    pub batch_size: usize,
}
