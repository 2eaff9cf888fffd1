//! A network bound to a thread of its own.
//!
//! A network of libtorch is built, warmed and run on one thread: it need not be `Send`, its
//! memory stays warm, and no forward pass blocks the async runtime. The thread outlives the
//! network: when one panics, its batch fails, a new one is built by the same factory, and until
//! then [`Health`] says so.
//!
//! Batches that come during a rebuild wait for it, since it mostly takes a moment, and their
//! deadlines bound the wait. Once a rebuild has failed they fail at once, until one goes well:
//! a network that can't be built shall not fill the queue, nor hold up a shutdown.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::batching::{Batch, Engine, EngineFailure, panic_message};

/// Any error; `?` turns an `anyhow::Error` into it.
pub type BoxError = Box<dyn Error + Send + Sync>;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// What a thread owns. It never leaves it, so it need not be `Send`.
pub trait Network {
    type Input: Send + Sync + 'static;
    type Output: Send + 'static;

    /// One output for each input, in their order.
    ///
    /// An error says that these inputs, or their outputs, are bad (say, not finite), and keeps
    /// the network. A panic says that the network may be broken, and has it rebuilt.
    fn infer(&mut self, batch: &[Self::Input]) -> Result<Vec<Self::Output>, BoxError>;
}

/// Whether an engine can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// The network panicked and is being built anew.
    Rebuilding {
        since: Instant,
        /// Of the panic, or of the last failing rebuild. For the log.
        cause: String,
    },
    /// The thread has ended.
    Dead,
}

impl Health {
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// The handle of a thread that owns a network. Dropping it lets the thread end.
pub struct EngineThread<I, O> {
    /// None once told to end.
    work: Mutex<Option<Sender<Work<I, O>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    health: watch::Receiver<Health>,
    restarts: Arc<AtomicU64>,
}

struct Work<I, O> {
    batch: Batch<I>,
    answer: oneshot::Sender<Result<Vec<O>, EngineFailure>>,
}

impl<I: Send + Sync + 'static, O: Send + 'static> EngineThread<I, O> {
    /// Starts the thread `nin-<model>` and waits until `factory` has built the network on it.
    ///
    /// The factory does all that makes a network fit to serve: building, warm-up, golden check.
    /// It runs again after each panic of the network.
    pub async fn start<N, F>(model: &str, factory: F) -> Result<Self, BoxError>
    where
        N: Network<Input = I, Output = O> + 'static,
        F: FnMut() -> Result<N, BoxError> + Send + 'static,
    {
        let (work, jobs) = mpsc::channel();
        let (built, first_build) = oneshot::channel();
        let (health, health_seen) = watch::channel(Health::Ready);
        let restarts = Arc::new(AtomicU64::new(0));
        let worker =
            Worker { factory, jobs, health: DeadOnDrop(health), restarts: Arc::clone(&restarts) };
        let thread =
            thread::Builder::new().name(format!("nin-{model}")).spawn(move || worker.run(built))?;
        first_build.await.map_err(|_| "the engine thread ended while building")??;
        Ok(Self {
            work: Mutex::new(Some(work)),
            thread: Mutex::new(Some(thread)),
            health: health_seen,
            restarts,
        })
    }

    /// Follows the health. The receiver outlives the handle.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// How often the network has been rebuilt.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Lets the thread end after the work it has, and waits until it has.
    pub async fn join(&self) {
        drop(lock(&self.work).take());
        // Fails, as it shall, when the thread drops its end: the last thing that it does.
        let _ = self.health.clone().wait_for(|_| false).await;
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("an engine thread panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I: Send + Sync + 'static, O: Send + 'static> Engine for EngineThread<I, O> {
    type Input = I;
    type Output = O;

    async fn run(&self, batch: Batch<I>) -> Result<Vec<O>, EngineFailure> {
        let ended = || EngineFailure { cause: "the engine thread has ended".to_owned() };
        let (answer, reply) = oneshot::channel();
        lock(&self.work)
            .as_ref()
            .ok_or_else(ended)?
            .send(Work { batch, answer })
            .map_err(|_| ended())?;
        reply.await.map_err(|_| ended())?
    }
}

/// Says that the thread has ended, however it did.
struct DeadOnDrop(watch::Sender<Health>);

impl Drop for DeadOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(Health::Dead);
    }
}

/// What the thread runs.
struct Worker<F, I, O> {
    factory: F,
    jobs: Receiver<Work<I, O>>,
    restarts: Arc<AtomicU64>,
    // The last field: its drop says that all else is gone.
    health: DeadOnDrop,
}

impl<N, F, I, O> Worker<F, I, O>
where
    N: Network<Input = I, Output = O>,
    F: FnMut() -> Result<N, BoxError>,
{
    fn run(mut self, built: oneshot::Sender<Result<(), BoxError>>) {
        let mut network = match build(&mut self.factory) {
            Ok(network) => network,
            Err(error) => {
                let _ = built.send(Err(error));
                return;
            }
        };
        if built.send(Ok(())).is_err() {
            // Nobody waits for it any more.
            return;
        }
        while let Some(panicked) = self.serve(&mut network) {
            // Gone before the next one is built: there may not be memory for two.
            discard(network);
            match self.rebuild(panicked) {
                Some(rebuilt) => network = rebuilt,
                None => return,
            }
        }
        discard(network);
    }

    /// Runs batches until there are no more (none) or the network panics (when it did).
    fn serve(&self, network: &mut N) -> Option<Instant> {
        for Work { batch, answer } in &self.jobs {
            if answer.is_closed() {
                continue;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| network.infer(&batch)));
            // Freed before the answer, so that whoever sees it sees the memory back.
            drop(batch);
            match outcome {
                Ok(outcome) => {
                    let _ = answer
                        .send(outcome.map_err(|error| EngineFailure { cause: chain(&*error) }));
                }
                Err(panic) => {
                    let (since, cause) = (Instant::now(), panic_message(&*panic).to_owned());
                    tracing::error!(cause, "the network panicked, rebuilding it");
                    // Before the answer: whoever sees it sees the health drop.
                    self.rebuilding(since, &cause);
                    let cause = format!("the network panicked: {cause}");
                    let _ = answer.send(Err(EngineFailure { cause }));
                    return Some(since);
                }
            }
        }
        None
    }

    /// Tries until it goes well, or nobody needs it any more (none).
    fn rebuild(&mut self, since: Instant) -> Option<N> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match build(&mut self.factory) {
                Ok(network) => {
                    self.restarts.fetch_add(1, Ordering::Relaxed);
                    self.health.0.send_replace(Health::Ready);
                    tracing::info!(elapsed = ?since.elapsed(), "the network is rebuilt");
                    return Some(network);
                }
                Err(error) => {
                    let cause = chain(&*error);
                    tracing::error!(cause, ?backoff, "rebuilding the network failed");
                    self.rebuilding(since, &cause);
                    self.refuse_for(backoff, &cause)?;
                    backoff = LONGEST_BACKOFF.min(backoff * 2);
                }
            }
        }
    }

    fn rebuilding(&self, since: Instant, cause: &str) {
        self.health.0.send_replace(Health::Rebuilding { since, cause: cause.to_owned() });
    }

    /// Fails what comes within `pause`; none when nothing can come any more.
    fn refuse_for(&self, pause: Duration, cause: &str) -> Option<()> {
        let end = Instant::now() + pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.jobs.recv_timeout(left) {
                Ok(work) => {
                    let _ = work.answer.send(Err(EngineFailure {
                        cause: format!("the network could not be rebuilt: {cause}"),
                    }));
                }
                Err(RecvTimeoutError::Timeout) => return Some(()),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

fn build<N>(factory: &mut impl FnMut() -> Result<N, BoxError>) -> Result<N, BoxError> {
    catch_unwind(AssertUnwindSafe(factory))
        .unwrap_or_else(|panic| Err(format!("panic: {}", panic_message(&*panic)).into()))
}

/// Drops a network that may be broken.
fn discard<N>(network: N) {
    if catch_unwind(AssertUnwindSafe(|| drop(network))).is_err() {
        tracing::error!("dropping a network panicked");
    }
}

/// The message and those of its sources.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
