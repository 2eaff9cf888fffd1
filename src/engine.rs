//! A network that is kept fit to answer.
//!
//! Its batches run on the thread of [`Inference`], where no forward pass blocks the async runtime. A
//! keeper of its own, a thread that mostly sleeps, builds it: when it panics its batch fails, the keeper
//! builds a new one by the same factory, and until then [`Health`] says so.
//!
//! Batches that come during a rebuild wait for it, since it mostly takes a moment, and their
//! deadlines bound the wait. Once a rebuild has failed they fail at once, until one goes well:
//! a network that can't be built shall not fill the queue, nor hold up a shutdown.

mod health;

pub use health::Health;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::batching::{Batch, Engine, EngineFailure, Work, panic_message};
use crate::inference::Inference;

/// Any error; `?` turns an `anyhow::Error` into it.
pub type BoxError = Box<dyn Error + Send + Sync>;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// What an engine owns.
pub trait Network: Send + 'static {
    type Input: Send + Sync + 'static;
    type Output: Send + 'static;

    /// One output for each input, in their order.
    ///
    /// An error says that these inputs, or their outputs, are bad (say, not finite), and keeps
    /// the network. A panic says that the network may be broken, and has it rebuilt.
    fn infer(&mut self, batch: &[Self::Input]) -> Result<Vec<Self::Output>, BoxError>;

    /// See [`Engine::run_beside`].
    fn run_beside(&mut self, work: Work) {
        work();
    }
}

/// The handle of a network and its keeper. Dropping it lets both end.
pub struct NetworkEngine<N: Network> {
    inference: Inference,
    kept: Arc<Kept<N>>,
    /// To the keeper. None once told to end.
    panics: Mutex<Option<Sender<Instant>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What the keeper shares with the handle and the batches.
struct Kept<N> {
    /// None while there is none to answer.
    network: Mutex<Option<N>>,
    health: watch::Sender<Health>,
    restarts: AtomicU64,
}

impl<N: Network> NetworkEngine<N> {
    /// Starts the keeper, the thread `nin-<model>`, and waits until `factory` has built the network.
    ///
    /// The factory does all that makes a network fit to serve: building, warm-up, golden check.
    /// It runs again after each panic of the network.
    pub async fn start<F>(model: &str, inference: Inference, factory: F) -> Result<Self, BoxError>
    where
        F: FnMut() -> Result<N, BoxError> + Send + 'static,
    {
        let (panics, panicked) = mpsc::channel();
        let (built, first_build) = oneshot::channel();
        let kept = Arc::new(Kept {
            network: Mutex::default(),
            health: watch::Sender::new(Health::Ready),
            restarts: AtomicU64::default(),
        });
        let guarded = DeadOnDrop { kept: Arc::clone(&kept), inference: inference.clone() };
        let keeper = Keeper { factory, panicked, guarded };
        let keeper =
            thread::Builder::new().name(format!("nin-{model}")).spawn(move || keeper.run(built))?;
        first_build.await.map_err(|_| "the keeper ended while building")??;
        let (panics, keeper) = (Mutex::new(Some(panics)), Mutex::new(Some(keeper)));
        Ok(Self { inference, kept, panics, keeper })
    }

    /// Follows the health. The receiver outlives the handle.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.kept.health.subscribe()
    }

    /// How often the network has been rebuilt.
    pub fn restarts(&self) -> u64 {
        self.kept.restarts.load(Ordering::Relaxed)
    }

    /// Lets the engine end after the work it has, and waits until it has.
    pub async fn join(&self) {
        drop(lock(&self.panics).take());
        let mut health = self.health();
        // Can't fail: the sender is ours, too.
        let _ = health.wait_for(|health| *health == Health::Dead).await;
        let keeper = lock(&self.keeper).take();
        if let Some(keeper) = keeper
            && keeper.join().is_err()
        {
            tracing::error!("the keeper of a network panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> EngineFailure {
    EngineFailure { cause: "the engine has ended".to_owned() }
}

impl<N: Network> Engine for NetworkEngine<N> {
    type Input = N::Input;
    type Output = N::Output;

    async fn run(&self, batch: Batch<N::Input>) -> Result<Vec<N::Output>, EngineFailure> {
        let mut health = self.health();
        let settled = health.wait_for(|health| !health.is_passing()).await;
        settled.map_err(|_| ended())?.refusal().map_or(Ok(()), Err)?;
        let panics = lock(&self.panics).clone().ok_or_else(ended)?;
        let kept = Arc::clone(&self.kept);
        self.inference.run(move || kept.infer(batch, &panics)).await
    }

    fn run_beside(&self, work: Work) {
        match &mut *lock(&self.kept.network) {
            Some(network) => network.run_beside(work),
            None => work(),
        }
    }
}

impl<N: Network> Kept<N> {
    /// Runs a batch. A panic of the network is its end, of which `panics` is told.
    fn infer(
        &self,
        batch: Batch<N::Input>,
        panics: &Sender<Instant>,
    ) -> Result<Vec<N::Output>, EngineFailure> {
        let mut slot = lock(&self.network);
        let network = slot.as_mut().ok_or_else(ended)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| network.infer(&batch)));
        // Freed before the answer, so that whoever sees it sees the memory back.
        drop(batch);
        match outcome {
            Ok(outcome) => outcome.map_err(|error| EngineFailure { cause: chain(&*error) }),
            Err(panic) => {
                let (since, cause) = (Instant::now(), panic_message(&*panic));
                tracing::error!(cause, "the network panicked, rebuilding it");
                // Before the answer: whoever sees it sees the health drop.
                self.rebuilding(since, cause, 0);
                // Gone before the next one is built: there may not be memory for two.
                discard(slot.take());
                // Fails if the keeper has ended, and then there is nobody to answer for.
                let _ = panics.send(since);
                Err(EngineFailure { cause: format!("the network panicked: {cause}") })
            }
        }
    }

    fn rebuilding(&self, since: Instant, cause: &str, failed: u32) {
        let cause = cause.to_owned();
        self.health.send_replace(Health::Rebuilding { since, cause, failed });
    }
}

/// Says that the engine has ended, however it did.
struct DeadOnDrop<N: Network> {
    kept: Arc<Kept<N>>,
    inference: Inference,
}

impl<N: Network> Drop for DeadOnDrop<N> {
    fn drop(&mut self) {
        let kept = Arc::clone(&self.kept);
        // After the batches that are there already.
        self.inference.wait_for(move || discard(lock(&kept.network).take()));
        self.kept.health.send_replace(Health::Dead);
    }
}

/// What the keeper's thread runs.
struct Keeper<N: Network, F> {
    factory: F,
    panicked: Receiver<Instant>,
    // The last field: its drop says that all else is gone.
    guarded: DeadOnDrop<N>,
}

impl<N: Network, F: FnMut() -> Result<N, BoxError>> Keeper<N, F> {
    fn run(mut self, built: oneshot::Sender<Result<(), BoxError>>) {
        let first = build(&mut self.factory).map(|network| self.put(network));
        let failed = first.is_err();
        // Without a receiver nobody waits for the engine any more.
        if built.send(first).is_err() || failed {
            return;
        }
        while let Ok(since) = self.panicked.recv() {
            if self.rebuild(since).is_none() {
                return;
            }
        }
    }

    fn put(&self, network: N) {
        *lock(&self.guarded.kept.network) = Some(network);
    }

    /// Tries until it goes well, or nobody needs it any more (none).
    fn rebuild(&mut self, since: Instant) -> Option<()> {
        let (mut backoff, mut failed) = (FIRST_BACKOFF, 0);
        loop {
            match build(&mut self.factory) {
                Ok(network) => {
                    self.put(network);
                    let kept = &self.guarded.kept;
                    kept.restarts.fetch_add(1, Ordering::Relaxed);
                    kept.health.send_replace(Health::Ready);
                    tracing::info!(elapsed = ?since.elapsed(), "the network is rebuilt");
                    return Some(());
                }
                Err(error) => {
                    let cause = chain(&*error);
                    tracing::error!(cause, ?backoff, "rebuilding the network failed");
                    failed += 1;
                    self.guarded.kept.rebuilding(since, &cause, failed);
                    // There is no network that could panic meanwhile.
                    if self.panicked.recv_timeout(backoff) != Err(RecvTimeoutError::Timeout) {
                        return None;
                    }
                    backoff = LONGEST_BACKOFF.min(backoff * 2);
                }
            }
        }
    }
}

fn build<N>(factory: &mut impl FnMut() -> Result<N, BoxError>) -> Result<N, BoxError> {
    catch_unwind(AssertUnwindSafe(factory))
        .unwrap_or_else(|panic| Err(format!("panic: {}", panic_message(&*panic)).into()))
}

/// Drops a network that may be broken.
fn discard<N>(network: Option<N>) {
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
