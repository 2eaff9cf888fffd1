//! Models in and out of service while it runs.
//!
//! A model that leaves the set in service lives on in the requests that hold it. With the last of
//! them goes its batcher, and with that its engine.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, watch};
use tokio_util::task::TaskTracker;

use crate::engine::Health;
use crate::http::{Repository, RepositoryError};
use crate::model::{ModelFolder, folder};
use crate::models::{Loaded, Loader};
use crate::service::{ServedModel, Service};

/// Waits for engines to end, and tells when a model dies. Clones are the same keeper.
#[derive(Debug, Clone, Default)]
pub struct Keeper {
    engines: TaskTracker,
    /// The name of the last that died.
    died: watch::Sender<Option<String>>,
}

impl Keeper {
    /// Watches over a model until its engine has ended.
    pub fn keep(&self, (model, engine): Loaded) -> Arc<ServedModel> {
        let name = model.info.name.clone();
        let mut health = model.health.clone();
        let closed = model.batcher.closed();
        let model = Arc::new(model);
        // The task must not keep the model alive.
        let served = Arc::downgrade(&model);
        let died = self.died.clone();
        self.engines.spawn(async move {
            let dead = tokio::select! {
                _ = health.wait_for(|health| *health == Health::Dead) => true,
                () = closed => served.strong_count() > 0,
            };
            if dead {
                died.send_replace(Some(name));
            }
            engine.join().await;
        });
        model
    }

    /// The name of a model whose engine or queue has ended while it was in service.
    pub async fn died(&self) -> String {
        let mut died = self.died.subscribe();
        let name = died.wait_for(Option::is_some).await.ok().and_then(|name| name.clone());
        // The sender is here, so the wait does not fail.
        name.unwrap_or_default()
    }

    /// Returns when all engines have ended, as they do once their batchers are closed.
    pub async fn ended(&self) {
        self.engines.close();
        self.engines.wait().await;
    }
}

/// The models of one folder.
pub struct ModelFolders {
    pub directory: PathBuf,
    pub loader: Loader,
    pub keeper: Keeper,
    pub service: Arc<Service>,
    /// One change at a time.
    pub change: Mutex<()>,
}

impl ModelFolders {
    async fn all_names(&self) -> Result<Vec<String>, RepositoryError> {
        let directory = self.directory.clone();
        off_runtime(move || folder::names(&directory)).await
    }

    async fn load_now(&self, name: &str) -> Result<(), RepositoryError> {
        let _change = self.change.lock().await;
        // Only what was found there: a name from a request is no path.
        if !self.all_names().await?.iter().any(|known| known == name) {
            return Err(RepositoryError::Unknown(name.to_owned()));
        }
        let path = self.directory.join(name);
        let folder = off_runtime(move || ModelFolder::load(&path)).await?;
        let loaded = self.loader.start(folder).await.map_err(broken)?;
        let digest = loaded.0.info.weights_sha256.clone();
        let models = self.service.models();
        models.swap(models.current().with(self.keeper.keep(loaded)));
        tracing::info!(model = name, weights_sha256 = digest, "loaded");
        Ok(())
    }

    async fn unload_now(&self, name: &str) -> Result<(), RepositoryError> {
        let _change = self.change.lock().await;
        let models = self.service.models();
        let rest = models.current().without(name);
        models.swap(rest.ok_or_else(|| RepositoryError::Unknown(name.to_owned()))?);
        tracing::info!(model = name, "unloaded");
        Ok(())
    }
}

impl Repository for ModelFolders {
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, RepositoryError>> {
        self.all_names().boxed()
    }

    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>> {
        self.load_now(name).boxed()
    }

    fn unload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>> {
        self.unload_now(name).boxed()
    }
}

fn broken(error: impl ToString) -> RepositoryError {
    RepositoryError::Broken(error.to_string())
}

async fn off_runtime<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, RepositoryError>
where
    T: Send + 'static,
    E: ToString + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(broken)?.map_err(broken)
}
