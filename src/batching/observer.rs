use std::sync::Arc;
use std::time::Duration;

/// Why a job left the queue without being computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The future of its `submit` was dropped: the client hung up.
    ClientGone,
    /// Its deadline passed.
    Deadline,
}

impl Dropped {
    /// The value of a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client-gone",
            Self::Deadline => "deadline",
        }
    }
}

/// Told what a batcher does, for histograms and counters; gauges are in
/// [`QueueStats`](super::QueueStats).
///
/// Called on the runtime: it must neither block nor panic.
pub trait Observer: Send + Sync + 'static {
    /// A job's batch started, `wait` after the job entered the queue.
    fn queue_wait(&self, wait: Duration) {
        let _ = wait;
    }

    /// The engine ended a run of `size` jobs, well or not. A single retry is a run of its own.
    fn batch(&self, size: usize, inference: Duration) {
        let _ = (size, inference);
    }

    /// A run failed; its jobs are retried one by one if there were several.
    fn failed(&self) {}

    /// A job was taken out of the queue, or out of a failed batch, and not computed.
    fn dropped(&self, reason: Dropped) {
        let _ = reason;
    }
}

/// Observes nothing.
impl Observer for () {}

/// Tells both.
impl<A: Observer, B: Observer> Observer for (A, Arc<B>) {
    fn queue_wait(&self, wait: Duration) {
        self.0.queue_wait(wait);
        self.1.queue_wait(wait);
    }

    fn batch(&self, size: usize, inference: Duration) {
        self.0.batch(size, inference);
        self.1.batch(size, inference);
    }

    fn failed(&self) {
        self.0.failed();
        self.1.failed();
    }

    fn dropped(&self, reason: Dropped) {
        self.0.dropped(reason);
        self.1.dropped(reason);
    }
}
