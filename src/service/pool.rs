//! Threads for CPU work on uploads: parsing, decoding, resizing.

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::ServiceError;
use crate::batching::{Work, panic_message};
use crate::workers::Workers;

/// Weight of the newest job in the mean time per job.
const NEWEST: f64 = 0.1;

/// A bounded queue before named threads. As with the engine's queue, a job whose requester has
/// gone leaves it at once, and one that the backlog would make late is refused on arrival.
#[derive(Debug)]
pub(super) struct DecodePool {
    workers: Workers,
    capacity: usize,
    load: Arc<Mutex<Load>>,
}

/// What the pool has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeLoad {
    /// Jobs that wait for a thread.
    pub waiting: usize,
    /// Jobs on a thread.
    pub running: usize,
}

#[derive(Debug, Default)]
struct Load {
    jobs: DecodeLoad,
    /// Moving mean.
    time_per_job: Duration,
}

/// The outcome of a job and what it took.
#[derive(Debug)]
pub(super) struct Done<T> {
    pub(super) value: T,
    pub(super) waited: Duration,
    pub(super) ran: Duration,
}

/// A job that a thread has been given. Dropped, it does not start any more.
pub(super) struct Begun<T> {
    deadline: tokio::time::Instant,
    reply: oneshot::Receiver<thread::Result<Done<T>>>,
    _slot: Slot,
}

impl<T> Begun<T> {
    /// Waits for the job's end, until the deadline.
    pub(super) async fn done(self) -> Result<Done<T>, ServiceError> {
        match timeout_at(self.deadline, self.reply).await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(panic))) => Err(ServiceError::Internal {
                cause: format!("a decoding job panicked: {}", panic_message(&*panic)),
            }),
            Ok(Err(_)) => {
                Err(ServiceError::Internal { cause: "a decoding thread has ended".to_owned() })
            }
            Err(_) => Err(ServiceError::DeadlineExceeded),
        }
    }
}

impl DecodePool {
    /// `capacity` is the most jobs that wait.
    pub(super) fn new(threads: NonZeroUsize, capacity: NonZeroUsize) -> io::Result<Self> {
        let workers = Workers::start("decode", threads)?;
        Ok(Self { workers, capacity: capacity.get(), load: Arc::default() })
    }

    /// Has a thread run `job`, unless what is returned is dropped before it starts. A panic of the job
    /// is an internal error.
    pub(super) fn begin<T, F>(
        &self,
        deadline: tokio::time::Instant,
        job: F,
    ) -> Result<Begun<T>, ServiceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.begin_by(|work| self.workers.run(work), deadline, job)
    }

    /// As [`DecodePool::begin`], on another thread, which `run` hands the work to.
    pub(super) fn begin_by<T, F>(
        &self,
        run: impl FnOnce(Work),
        deadline: tokio::time::Instant,
        job: F,
    ) -> Result<Begun<T>, ServiceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, reply) = oneshot::channel();
        let queued = Instant::now();
        let place = self.enter(deadline)?;
        let work = move || {
            let place = place.start();
            let started = Instant::now();
            let value = catch_unwind(AssertUnwindSafe(job));
            let ran = started.elapsed();
            place.finish(ran);
            // The requester may have gone meanwhile.
            let _ = answer.send(value.map(|value| Done {
                value,
                waited: started.duration_since(queued),
                ran,
            }));
        };
        let slot = Slot(Arc::new(Mutex::new(Some(Box::new(work) as Work))));
        let on_thread = Arc::clone(&slot.0);
        run(Box::new(move || {
            // Taken out of the lock before it runs.
            let work = lock(&on_thread).take();
            if let Some(work) = work {
                work();
            }
        }));
        Ok(Begun { deadline, reply, _slot: slot })
    }

    pub(super) fn load(&self) -> DecodeLoad {
        lock(&self.load).jobs
    }

    /// What tells, whenever asked, whether jobs wait for a thread.
    pub(super) fn backlog(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let load = Arc::clone(&self.load);
        move || lock(&load).jobs.waiting > 0
    }

    /// How long a job that comes now waits for a thread.
    pub(super) fn expected_wait(&self) -> Duration {
        lock(&self.load).expected_wait(self.workers.threads())
    }

    fn enter(&self, deadline: tokio::time::Instant) -> Result<Place, ServiceError> {
        let mut load = lock(&self.load);
        let wait = load.expected_wait(self.workers.threads());
        let full = load.jobs.waiting >= self.capacity;
        let now = tokio::time::Instant::now();
        if now >= deadline {
            return Err(ServiceError::DeadlineExceeded);
        }
        if full || now + wait >= deadline {
            return Err(ServiceError::Overloaded { retry_after: whole_seconds(wait) });
        }
        load.jobs.waiting += 1;
        Ok(Place { load: Arc::clone(&self.load), running: false })
    }
}

impl Load {
    /// A free thread takes anything, so a mean that one slow job has spoilt can mend.
    fn expected_wait(&self, threads: usize) -> Duration {
        let ahead = self.jobs.waiting + self.jobs.running;
        let rounds = u32::try_from(ahead / threads).unwrap_or(u32::MAX);
        self.time_per_job.saturating_mul(rounds)
    }
}

/// Rounded up, at least one.
pub(super) fn whole_seconds(duration: Duration) -> Duration {
    let started = u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs((duration.as_secs() + started).max(1))
}

/// A job's part in the load; given back on drop.
struct Place {
    load: Arc<Mutex<Load>>,
    running: bool,
}

impl Place {
    fn start(mut self) -> Self {
        self.running = true;
        let mut load = lock(&self.load);
        load.jobs.waiting -= 1;
        load.jobs.running += 1;
        drop(load);
        self
    }

    fn finish(self, ran: Duration) {
        let mut load = lock(&self.load);
        load.time_per_job = if load.time_per_job.is_zero() {
            ran
        } else {
            load.time_per_job.mul_f64(1.0 - NEWEST) + ran.mul_f64(NEWEST)
        };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut load = lock(&self.load);
        if self.running {
            load.jobs.running -= 1;
        } else {
            load.jobs.waiting -= 1;
        }
    }
}

/// The requester's hold on its job: dropped, it takes the job out, if it still waits.
struct Slot(Arc<Mutex<Option<Work>>>);

impl Drop for Slot {
    fn drop(&mut self) {
        // Bound, so that the job and its upload are freed after the lock.
        let _withdrawn = lock(&self.0).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code under the locks leaves anything half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
