//! Threads that run one job after the other, and sleep in between.
//!
//! Not a pool of rayon's: its threads look around for more work before they sleep, on cores that the
//! network needs just then.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs start in the order in which they come. Dropped, the threads end after the jobs they have.
#[derive(Debug)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: NonZeroUsize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told of each job, and of the end.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Workers {
    /// Threads named `<name>-0`, `<name>-1`, …
    pub(crate) fn start(name: &str, threads: NonZeroUsize) -> io::Result<Self> {
        let workers = Self { shared: Arc::default(), threads };
        for index in 0..threads.get() {
            let shared = Arc::clone(&workers.shared);
            let work = move || {
                while let Some(job) = shared.next() {
                    job();
                }
            };
            thread::Builder::new().name(format!("{name}-{index}")).spawn(work)?;
        }
        Ok(workers)
    }

    /// A job that panics takes its thread with it, so it must not.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.shared.lock().jobs.push_back(Box::new(job));
        self.shared.changed.notify_one();
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.get()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Waits for a job; `None` once there will be no more.
    fn next(&self) -> Option<Job> {
        let idle = |queue: &mut Queue| queue.jobs.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(self.lock(), idle);
        queue.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}
