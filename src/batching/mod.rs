//! The queue between requests and a network: admission, deadlines, batches.
//!
//! Knows nothing of HTTP or of tensors: a network is whatever implements [`Engine`].

use std::future::Future;
use std::time::Duration;

/// Whatever can run a batch. The real one is [`crate::engine::EngineThread`].
pub trait Engine: Send + Sync + 'static {
    type Input: Send + 'static;
    type Output: Send + 'static;

    /// Runs one batch; the outputs are in the order of the inputs, one each.
    ///
    /// On failure the inputs come back, so that the collector can retry them one by one.
    fn run(
        &self,
        batch: Vec<Self::Input>,
    ) -> impl Future<Output = Result<Vec<Self::Output>, EngineFailure<Self::Input>>> + Send;
}

/// A batch that failed, with its inputs.
#[derive(Debug)]
pub struct EngineFailure<I> {
    pub inputs: Vec<I>,
    /// For the log; never shown to a client.
    pub cause: String,
}

/// What a request gets back.
#[derive(Debug)]
pub struct Reply<O> {
    pub output: O,
    /// From admission to the queue until its batch started.
    pub queue: Duration,
    /// The whole batch, on the engine.
    pub inference: Duration,
    pub batch_size: usize,
}
