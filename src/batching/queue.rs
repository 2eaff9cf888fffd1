//! The waiting jobs and what is known of the engine's speed, under one lock.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::batcher::{BatchConfig, Job, SubmitError};
use super::observer::{Dropped, Observer};
use super::ticket::{Answer, Ticket, Waiting};

/// Weight of the newest batch in the mean time per batch.
const NEWEST: f64 = 0.2;

/// What a queue looks like now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Jobs that wait.
    pub depth: usize,
    /// Jobs that are with the engine.
    pub in_flight: usize,
    /// Batches begun since the start.
    pub batches: u64,
    pub last_batch_size: usize,
    /// Moving mean; none before the first batch.
    pub time_per_batch: Option<Duration>,
}

struct State<I, O> {
    /// By order of arrival.
    waiting: BTreeMap<u64, Waiting<I, O>>,
    arrivals: u64,
    closed: bool,
    /// After the next batch.
    stay_awake: bool,
    running: Option<Running>,
    batches: u64,
    last_batch_size: usize,
    time_per_batch: Option<Duration>,
}

struct Running {
    since: Instant,
    jobs: usize,
}

pub(super) struct Queue<I, O> {
    pub(super) config: BatchConfig,
    pub(super) observer: Arc<dyn Observer>,
    state: Mutex<State<I, O>>,
    /// Wakes the collector, the only one who waits for it.
    changed: Notify,
}

impl<I, O> Queue<I, O> {
    pub(super) fn new(config: BatchConfig, observer: Arc<dyn Observer>) -> Self {
        let state = State {
            waiting: BTreeMap::new(),
            arrivals: 0,
            closed: false,
            stay_awake: false,
            running: None,
            batches: 0,
            last_batch_size: 0,
            time_per_batch: None,
        };
        Self { config, observer, state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<I, O>> {
        // No code under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the job, or refuses it.
    pub(super) fn push(
        self: &Arc<Self>,
        job: Job<I>,
        answer: oneshot::Sender<Answer<O>>,
    ) -> Result<Place<I, O>, SubmitError> {
        let arrived = Instant::now();
        let mut state = self.state();
        if state.closed {
            return Err(SubmitError::ShuttingDown);
        }
        if job.deadline <= arrived {
            return Err(SubmitError::DeadlineExceeded);
        }
        let full = state.waiting.len() >= self.config.queue_capacity.get();
        let patience = job.deadline.duration_since(arrived);
        if full || state.expected_wait(self.config.max_batch) >= patience {
            return Err(SubmitError::Overloaded {
                retry_after: state.retry_after(self.config.max_batch),
            });
        }
        let number = state.arrivals;
        state.arrivals += 1;
        state.waiting.insert(number, Waiting::new(job, arrived, answer));
        drop(state);
        self.changed.notify_one();
        Ok(Place { queue: Arc::clone(self), number, left_because: Dropped::ClientGone })
    }

    /// Waits for jobs and takes those of the next batch; none when closed and empty.
    pub(super) async fn next(&self) -> Option<Vec<Waiting<I, O>>> {
        loop {
            let hold = {
                let mut state = self.state();
                if state.waiting.is_empty() {
                    if state.closed {
                        return None;
                    }
                    None
                } else {
                    match state.hold_until(&self.config) {
                        Some(until) => Some(until),
                        None => return Some(state.take(self.config.max_batch)),
                    }
                }
            };
            // A push between the lock and here has left its mark in `changed`.
            match hold {
                None => self.changed.notified().await,
                Some(until) => {
                    let _ = tokio::time::timeout_at(until, self.changed.notified()).await;
                }
            }
        }
    }

    /// Notes that `jobs` are with the engine, until the guard is dropped.
    pub(super) fn begin(&self, jobs: usize) -> RunGuard<'_, I, O> {
        let mut state = self.state();
        state.batches += 1;
        state.last_batch_size = jobs;
        state.running = Some(Running { since: Instant::now(), jobs });
        RunGuard { queue: self }
    }

    pub(super) fn record_batch_time(&self, time: Duration) {
        let mut state = self.state();
        state.time_per_batch = Some(match state.time_per_batch {
            Some(mean) => mean.mul_f64(1.0 - NEWEST) + time.mul_f64(NEWEST),
            None => time,
        });
    }

    /// Asks the collector to stay awake for a moment after the next batch.
    pub(super) fn stay_awake(&self) {
        self.state().stay_awake = true;
    }

    /// Whether somebody has asked for it since the last time.
    pub(super) fn take_stay_awake(&self) -> bool {
        std::mem::take(&mut self.state().stay_awake)
    }

    /// Refuses whatever comes from now on; what waits is still served.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Closes, and lets go of what waits: there is no collector any more to serve it.
    pub(super) fn abandon(&self) {
        let abandoned = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        for waiting in abandoned.into_values() {
            waiting.ticket.answer(Err(SubmitError::Failed));
        }
    }

    pub(super) fn retry_after(&self) -> Duration {
        self.state().retry_after(self.config.max_batch)
    }

    pub(super) fn stats(&self) -> QueueStats {
        let state = self.state();
        QueueStats {
            depth: state.waiting.len(),
            in_flight: state.running.as_ref().map_or(0, |running| running.jobs),
            batches: state.batches,
            last_batch_size: state.last_batch_size,
            time_per_batch: state.time_per_batch,
        }
    }
}

impl<I, O> State<I, O> {
    fn take(&mut self, max_batch: NonZeroUsize) -> Vec<Waiting<I, O>> {
        let size = self.waiting.len().min(max_batch.get());
        std::iter::from_fn(|| self.waiting.pop_first())
            .take(size)
            .map(|(_, waiting)| waiting)
            .collect()
    }

    /// Until when a part-filled batch is held back. A lone job never is; nor is one held past
    /// the time at which its deadline asks for the engine.
    fn hold_until(&self, config: &BatchConfig) -> Option<Instant> {
        let jobs = self.waiting.len();
        if config.max_delay.is_zero() || self.closed || jobs < 2 || jobs >= config.max_batch.get() {
            return None;
        }
        let now = Instant::now();
        // Twice the mean, as runs differ.
        let run = times(self.time_per_batch.unwrap_or_default(), 2);
        let latest = |ticket: &Ticket<O>| {
            let due = ticket.deadline.checked_sub(run).unwrap_or(now);
            // A delay beyond the clock's range is no bound.
            let held = ticket.arrived.checked_add(config.max_delay);
            held.map_or(due, |held| held.min(due))
        };
        let tickets = self.waiting.values().map(|waiting| &waiting.ticket);
        tickets.map(latest).min().filter(|until| *until > now)
    }

    /// How long a job that comes now waits for its batch: what is left of the running one, and
    /// the full ones before its own. Its own is not counted, so an idle engine takes anything,
    /// and a mean that one slow batch has spoilt can mend.
    fn expected_wait(&self, max_batch: NonZeroUsize) -> Duration {
        let Some(per_batch) = self.time_per_batch else {
            return Duration::ZERO;
        };
        let running = self
            .running
            .as_ref()
            .map_or(Duration::ZERO, |running| per_batch.saturating_sub(running.since.elapsed()));
        running.saturating_add(times(per_batch, self.waiting.len() / max_batch.get()))
    }

    /// Time to work off all that is there, in whole seconds, at least one.
    fn retry_after(&self, max_batch: NonZeroUsize) -> Duration {
        let batches =
            self.waiting.len().div_ceil(max_batch.get()) + usize::from(self.running.is_some());
        let backlog = times(self.time_per_batch.unwrap_or_default(), batches);
        let started_second = u64::from(backlog.subsec_nanos() > 0);
        Duration::from_secs((backlog.as_secs() + started_second).max(1))
    }
}

fn times(duration: Duration, count: usize) -> Duration {
    duration.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A submitter's place in the queue. Dropping it takes the job out, if it still waits, and gives its
/// memory back at once.
pub struct Place<I, O> {
    queue: Arc<Queue<I, O>>,
    number: u64,
    left_because: Dropped,
}

impl<I, O> Place<I, O> {
    /// Leaves it, since the deadline has passed.
    pub fn expire(mut self) {
        self.left_because = Dropped::Deadline;
    }
}

impl<I, O> Drop for Place<I, O> {
    fn drop(&mut self) {
        // Bound, so that the input is freed after the lock.
        let left = self.queue.state().waiting.remove(&self.number);
        if left.is_some() {
            self.queue.observer.dropped(self.left_because);
        }
    }
}

pub(super) struct RunGuard<'a, I, O> {
    queue: &'a Queue<I, O>,
}

impl<I, O> RunGuard<'_, I, O> {
    /// How many of the batch are still to be answered.
    pub(super) fn set_jobs(&self, jobs: usize) {
        if let Some(running) = &mut self.queue.state().running {
            running.jobs = jobs;
        }
    }
}

impl<I, O> Drop for RunGuard<'_, I, O> {
    fn drop(&mut self) {
        self.queue.state().running = None;
    }
}
