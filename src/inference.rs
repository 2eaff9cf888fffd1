//! The thread that computes: all that a running service asks of libtorch is run here, one after the
//! other.
//!
//! libgomp gives each thread that computes a team of helpers of its own. Were there a thread for each
//! network, the teams would take each other's processors in the middle of a layer; and where all
//! helpers are more than there are processors, libgomp lets them sleep between any two layers, which
//! makes a lone picture wait for them to wake, again and again. One thread for all networks has one
//! team, which can stay awake from one layer to the next.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::{fmt, io};

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::{mpsc, oneshot};

use crate::model::Team;

type Job = Box<dyn FnOnce() + Send>;

/// A handle of the thread, which ends when the last one is dropped, after the jobs that it has.
#[derive(Debug, Clone)]
pub struct Inference {
    jobs: mpsc::UnboundedSender<Job>,
    runtime: Handle,
    thread: ThreadId,
    threads: NonZeroUsize,
    crowd: Crowd,
}

/// Tells whether other threads have work for all processors.
#[derive(Clone, Default)]
struct Crowd(Arc<OnceLock<Box<dyn Fn() -> bool + Send + Sync>>>);

impl Inference {
    /// `threads` is how many libtorch may use.
    pub fn start(threads: NonZeroUsize) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let work = async move {
            while let Some(job) = queue.recv().await {
                job();
            }
        };
        let thread = thread::Builder::new()
            .name("inference".to_owned())
            .spawn(move || runtime.block_on(work))?;
        let (thread, crowd) = (thread.thread().id(), Crowd::default());
        Ok(Self { jobs, runtime: handle, thread, threads, crowd })
    }

    /// From now on `is_crowded`, the first that is given, tells whether other threads have work for all
    /// processors.
    pub fn heed(&self, is_crowded: impl Fn() -> bool + Send + Sync + 'static) {
        // The first stays.
        let _ = self.crowd.0.set(Box::new(is_crowded));
    }

    /// Whether helpers would have to wait for a processor.
    pub fn is_crowded(&self) -> bool {
        self.crowd.0.get().is_some_and(|is_crowded| is_crowded())
    }

    /// While the guard lives, what the calling thread spawns is run on this thread, between jobs. Who
    /// gives out jobs does so from here, so that nobody else has to wake up for it.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Lets `team` run what the calling thread, a job's, asks of libtorch from now on.
    pub fn give_to(&self, team: Team) {
        team.assemble(self.threads);
    }

    /// Runs `job`, unless the future is dropped before it begins: at once, if this is the thread, and
    /// else after those that came before. Panics as the job does.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        if thread::current().id() == self.thread {
            return job();
        }
        outcome(self.begin(job).await)
    }

    /// As [`Inference::run`], for threads that may wait; no job may.
    pub fn wait_for<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        outcome(self.begin(job).blocking_recv())
    }

    fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<thread::Result<T>> {
        let (answer, reply) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // Who waits hears of a panic. May have gone meanwhile.
                let _ = answer.send(catch_unwind(AssertUnwindSafe(job)));
            }
        };
        // If the thread has ended, so will the wait for the reply.
        let _ = self.jobs.send(Box::new(job));
        reply
    }
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crowd")
    }
}

fn outcome<T>(reply: Result<thread::Result<T>, oneshot::error::RecvError>) -> T {
    match reply {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => resume_unwind(Box::new("the inference thread has ended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn it_is_crowded_when_the_first_that_is_asked_says_so() {
        let inference = Inference::start(NonZeroUsize::MIN).expect("a thread");
        let says = Arc::new(AtomicBool::default());
        assert!(!inference.is_crowded());
        let asked = Arc::clone(&says);
        inference.clone().heed(move || asked.load(Ordering::Relaxed));
        inference.heed(|| true);
        assert!(!inference.is_crowded());
        says.store(true, Ordering::Relaxed);
        assert!(inference.is_crowded());
    }

    #[tokio::test]
    async fn jobs_run_on_one_thread_and_a_panic_ends_only_its_own() {
        let inference = Inference::start(NonZeroUsize::MIN).expect("a thread");
        let name = || thread::current().name().map(str::to_owned);
        assert_eq!(inference.run(name).await.as_deref(), Some("inference"));
        let waiting = inference.clone();
        let panicked = thread::Builder::new()
            .spawn(move || waiting.wait_for(|| panic!("as ordered")))
            .expect("a thread");
        let panic = panicked.join().expect_err("a panic");
        assert_eq!(panic.downcast_ref(), Some(&"as ordered"));
        let there = inference.clone();
        let task = async move { there.run(name).await };
        let task = inference.runtime.spawn(task).await.expect("no panic");
        assert_eq!(task.as_deref(), Some("inference"));
        assert_eq!(inference.run(name).await.as_deref(), Some("inference"));
    }
}
