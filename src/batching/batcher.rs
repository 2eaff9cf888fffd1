use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::collector::collect;
use super::observer::Observer;
use super::queue::{Place, Queue, QueueStats};
use super::ticket::Answer;
use super::{BytesPermit, Engine, Reply, Work};

/// How requests are batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    /// Most jobs in one run of the engine.
    pub max_batch: NonZeroUsize,
    /// How long after its arrival a job may be held for a fuller batch while the engine is idle.
    /// Zero: never. A lone job is never held.
    pub max_delay: Duration,
    /// Most jobs that wait; those with the engine do not count.
    pub queue_capacity: NonZeroUsize,
}

/// One input on its way to the engine.
#[derive(Debug)]
pub struct Job<I> {
    pub input: I,
    /// When the answer is of no use any more.
    pub deadline: Instant,
    /// The memory that the input takes; given back when the job is answered or dropped.
    pub permit: BytesPermit,
}

/// Why a job got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full, or what is in it takes longer than the job's deadline allows.
    #[error("overloaded, try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// Whole seconds, at least one.
        retry_after: Duration,
    },
    #[error("the deadline passed")]
    DeadlineExceeded,
    #[error("shutting down")]
    ShuttingDown,
    /// The cause is in the log.
    #[error("the engine failed")]
    Failed,
}

/// The way to one engine. Clones share the queue; when the last is dropped the queue closes.
pub struct Batcher<I, O> {
    inner: Arc<Inner<I, O>>,
}

struct Inner<I, O> {
    queue: Arc<Queue<I, O>>,
    tasks: TaskTracker,
    /// The collector's.
    runtime: Handle,
    /// See [`Engine::run_beside`].
    run_beside: Arc<dyn Fn(Work) + Send + Sync>,
}

impl<I: Send + Sync + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts the collector task. Must be called on a tokio runtime.
    pub fn spawn<E>(engine: Arc<E>, config: BatchConfig, observer: Arc<dyn Observer>) -> Self
    where
        E: Engine<Input = I, Output = O>,
    {
        let queue = Arc::new(Queue::new(config, observer));
        let tasks = TaskTracker::new();
        // The collector lets the engine end.
        let beside = Arc::downgrade(&engine);
        let run_beside = Arc::new(move |work: Work| match beside.upgrade() {
            Some(engine) => engine.run_beside(work),
            None => work(),
        });
        tasks.spawn(collect(engine, Arc::clone(&queue)));
        tasks.close();
        Self { inner: Arc::new(Inner { queue, tasks, runtime: Handle::current(), run_beside }) }
    }

    /// Queues the job and waits for its answer, not beyond its deadline.
    ///
    /// Dropping the future before it is ready withdraws the job: if it still waits, it is never
    /// computed, and its memory is given back at once.
    pub async fn submit(&self, job: Job<I>) -> Result<Reply<O>, SubmitError> {
        let deadline = job.deadline;
        let (answer, reply) = oneshot::channel();
        let place = self.enqueue(job, answer)?;
        match timeout_at(deadline, reply).await {
            Ok(answer) => answered(answer),
            Err(_) => {
                place.expire();
                Err(SubmitError::DeadlineExceeded)
            }
        }
    }

    /// Queues the job, from any thread. Its answer goes to `answer`, see [`answered`]; who waits for it
    /// looks at the deadline, too.
    pub fn enqueue(
        &self,
        job: Job<I>,
        answer: oneshot::Sender<Answer<O>>,
    ) -> Result<Place<I, O>, SubmitError> {
        self.inner.queue.push(job, answer)
    }

    /// Whether no job waits and none is with the engine.
    pub fn is_idle(&self) -> bool {
        let QueueStats { depth, in_flight, .. } = self.stats();
        (depth, in_flight) == (0, 0)
    }

    /// Runs `work` where the collector runs, which has to wait meanwhile: for who is alone. The thread
    /// stays awake for a moment after the next batch, since who asks one picture after the other is back
    /// at once.
    pub fn run_beside(&self, work: Work) {
        self.inner.queue.stay_awake();
        let run_beside = Arc::clone(&self.inner.run_beside);
        self.inner.runtime.spawn(async move { run_beside(work) });
    }

    /// When to send a client back that is refused now: the batches ahead times the measured
    /// time per batch, in whole seconds, at least one.
    pub fn retry_after(&self) -> Duration {
        self.inner.queue.retry_after()
    }

    pub fn stats(&self) -> QueueStats {
        self.inner.queue.stats()
    }

    /// Refuses new jobs from now on. Those accepted are still answered.
    pub fn close(&self) {
        self.inner.queue.close();
    }

    /// Whether new jobs are refused: after [`close`](Self::close), or because the collector is
    /// dead.
    pub fn is_closed(&self) -> bool {
        self.inner.queue.is_closed()
    }

    /// Ready once the collector has ended: after [`close`](Self::close), when every accepted
    /// job has been answered.
    pub async fn closed(&self) {
        self.inner.tasks.wait().await;
    }
}

/// What came through the channel of [`Batcher::enqueue`].
pub fn answered<O>(answer: Result<Answer<O>, oneshot::error::RecvError>) -> Answer<O> {
    // The collector let go of the job without an answer: it panicked.
    answer.unwrap_or(Err(SubmitError::Failed))
}

// Not derived: that would ask for `I: Clone, O: Clone`.
impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<I, O> Drop for Inner<I, O> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
