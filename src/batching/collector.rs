//! The task that forms batches, runs them and hands out the answers.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::batcher::SubmitError;
use super::queue::{Queue, RunGuard};
use super::ticket::{Ticket, Waiting};
use super::{Batch, Engine, EngineFailure, Reply};

/// How long the thread stays awake for who asks one picture after the other: longer than an answer and
/// the next request take on one machine. An idle processor takes a tenth of a millisecond or two to
/// wake up, and then runs what comes more slowly for a while.
const AWAKE: Duration = Duration::from_micros(500);

/// Serves the queue until it is closed and empty.
pub(super) async fn collect<E: Engine>(engine: Arc<E>, queue: Arc<Queue<E::Input, E::Output>>) {
    // Also when this task panics or the runtime ends: nobody shall wait for a dead collector.
    let queue = AbandonOnDrop(queue);
    let queue = &*queue.0;
    while let Some(jobs) = queue.next().await {
        serve(&*engine, queue, jobs).await;
        if queue.take_stay_awake() {
            stay_awake(queue).await;
        }
    }
}

/// Until there is a job, or will be none, or for [`AWAKE`]. Other tasks of the thread run in between, and
/// whatever else wants its processor.
async fn stay_awake<I, O>(queue: &Queue<I, O>) {
    let is_idle = || queue.stats().depth == 0 && !queue.is_closed();
    // Not tokio's clock, which stands still in tests while a task is ready.
    let since = std::time::Instant::now();
    while is_idle() && since.elapsed() < AWAKE {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}

struct AbandonOnDrop<I, O>(Arc<Queue<I, O>>);

impl<I, O> Drop for AbandonOnDrop<I, O> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

async fn serve<E: Engine>(
    engine: &E,
    queue: &Queue<E::Input, E::Output>,
    jobs: Vec<Waiting<E::Input, E::Output>>,
) {
    let (tickets, inputs): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .filter_map(|Waiting { input, ticket }| Some((ticket.if_alive(&*queue.observer)?, input)))
        .unzip();
    if tickets.is_empty() {
        return;
    }
    let running = queue.begin(tickets.len());
    let batch = Batch::from(inputs);
    for ticket in &tickets {
        queue.observer.queue_wait(ticket.arrived.elapsed());
    }
    match run(engine, queue, batch.clone()).await {
        Ok(run) => {
            queue.record_batch_time(run.inference);
            // Memory and gauges first, so that whoever sees the answer sees them.
            drop((batch, running));
            run.answer(tickets);
        }
        Err(_) if tickets.len() == 1 => {
            drop((batch, running));
            for ticket in tickets {
                ticket.answer(Err(SubmitError::Failed));
            }
        }
        Err(_) => retry_singly(engine, queue, tickets, batch, running).await,
    }
}

/// Finds the culprit of a failed batch: each job runs once more, alone.
async fn retry_singly<E: Engine>(
    engine: &E,
    queue: &Queue<E::Input, E::Output>,
    tickets: Vec<Ticket<E::Output>>,
    batch: Batch<E::Input>,
    running: RunGuard<'_, E::Input, E::Output>,
) {
    let mut left = tickets.len();
    for (ticket, single) in tickets.into_iter().zip(batch.singles()) {
        let ticket = ticket.if_alive(&*queue.observer);
        let outcome = match ticket {
            Some(ticket) => Some((ticket, run(engine, queue, single).await)),
            None => None,
        };
        left -= 1;
        running.set_jobs(left);
        match outcome {
            Some((ticket, Ok(run))) => run.answer(vec![ticket]),
            Some((ticket, Err(_))) => ticket.answer(Err(SubmitError::Failed)),
            None => {}
        }
    }
}

/// A run that went well: one output for each job.
struct Run<O> {
    outputs: Vec<O>,
    started: Instant,
    inference: Duration,
}

impl<O> Run<O> {
    fn answer(self, tickets: Vec<Ticket<O>>) {
        let batch_size = tickets.len();
        for (ticket, output) in tickets.into_iter().zip(self.outputs) {
            let queue = self.started.duration_since(ticket.arrived);
            ticket.answer(Ok(Reply { output, queue, inference: self.inference, batch_size }));
        }
    }
}

/// Runs one batch; whatever goes wrong is logged here, once, and becomes an error.
async fn run<E: Engine>(
    engine: &E,
    queue: &Queue<E::Input, E::Output>,
    batch: Batch<E::Input>,
) -> Result<Run<E::Output>, EngineFailure> {
    let size = batch.len();
    let started = Instant::now();
    let outcome = no_panic(async move { engine.run(batch).await }).await;
    let inference = started.elapsed();
    queue.observer.batch(size, inference);
    let outcome = match outcome {
        Ok(outputs) if outputs.len() != size => {
            Err(EngineFailure { cause: format!("{} outputs for {size} inputs", outputs.len()) })
        }
        outcome => outcome,
    };
    match outcome {
        Ok(outputs) => Ok(Run { outputs, started, inference }),
        Err(failure) => {
            tracing::error!(batch_size = size, cause = %failure, "a batch failed in the engine");
            queue.observer.failed();
            Err(failure)
        }
    }
}

/// Turns a panic of the engine's own future into a failure. After one it is not polled again,
/// so nothing broken is looked at.
async fn no_panic<T>(
    run: impl Future<Output = Result<T, EngineFailure>>,
) -> Result<T, EngineFailure> {
    let mut run = pin!(run);
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| run.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|panic| {
            Poll::Ready(Err(EngineFailure { cause: format!("panic: {}", panic_message(&*panic)) }))
        })
    })
    .await
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
