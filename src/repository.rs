//! Models in and out of service while it runs.
//!
//! A model that leaves the set in service lives on in the requests that hold it. With the last of
//! them goes its batcher, with that its engine.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Health;
use crate::http::{Repository, RepositoryError};
use crate::model::{ModelFolder, folder};
use crate::models::{Engine, Loaded, Loader};
use crate::service::{ModelSet, ServedModel, Service};

/// Waits for engines to end, and knows which were not meant to.
#[derive(Debug, Clone, Default)]
pub struct Keeper {
    engines: TaskTracker,
    died: CancellationToken,
}

impl Keeper {
    /// Watches over a model until its engine has ended.
    pub fn keep(&self, (model, engine): Loaded) -> Arc<ServedModel> {
        let model = Arc::new(model);
        let watch = watch(Arc::downgrade(&model), engine, self.died.clone());
        // Made outside of the task, which must not hold the model.
        let closed = model.batcher.closed();
        self.engines.spawn(watch(closed));
        model
    }

    /// A model in service has died.
    pub async fn died(&self) {
        self.died.cancelled().await;
    }

    /// All engines have ended, as they do once their models are gone or their batchers closed.
    pub async fn ended(&self) {
        self.engines.close();
        self.engines.wait().await;
    }
}
