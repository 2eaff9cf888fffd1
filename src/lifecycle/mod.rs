//! From the first signal to the last answer.
//!
//! ```text
//! running ──SIGTERM, SIGINT, a dead worker──▶ draining ──all answered──▶ ended
//!                                                │
//!                                                └──second signal, drain timeout──▶ aborted
//! ```
//!
//! Draining: readiness turns 503 at once; after the shutdown delay no connection is accepted any
//! more; what was accepted is answered; then the engines end.

mod body;
mod connections;
mod server;
mod signals;
mod tls;

pub use server::{ConnectionConfig, Server};
pub use signals::listen_to_signals;
pub use tls::{TlsAcceptor, TlsConfig, pinned_client};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The switch that every part of the process holds. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Finish what was accepted.
    soft: CancellationToken,
    /// Drop everything.
    hard: CancellationToken,
    failed: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Starts draining.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Starts draining because a part is broken: the process will end with an error.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.soft.cancel();
    }

    /// Gives up on what is not answered yet.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.soft.is_cancelled()
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn has_aborted(&self) -> bool {
        self.hard.is_cancelled()
    }

    pub async fn begun(&self) {
        self.soft.cancelled().await;
    }

    pub async fn aborted(&self) {
        self.hard.cancelled().await;
    }

    /// Spawns a task that the process shall not outlive; [`abort`](Self::abort) drops it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.clone().run_until_aborted(task));
    }

    /// Waits until every spawned task has ended. None may be spawned after.
    pub async fn tasks_ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs `future`, not beyond an abort.
    async fn run_until_aborted(self, future: impl Future<Output = ()>) {
        self.hard.run_until_cancelled(future).await;
    }
}
