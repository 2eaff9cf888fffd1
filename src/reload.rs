//! New weights without a restart, and models in and out of service.
//!
//! A folder is loaded, checked and warmed up beside the network that serves. Only if all of it
//! goes well are the two swapped, at once; requests that hold the old one finish on it, and it
//! ends with the last of them. So does a model that is unloaded.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::app::watch_over;
use crate::http::{Repository, RepositoryError};
use crate::lifecycle::Shutdown;
use crate::model::{ModelFolder, folder};
use crate::models::Loader;
use crate::service::{ServedModel, Service};

/// The models of one folder, for a running service.
pub struct Reloader {
    pub loader: Loader,
    /// The folder that holds the models' folders.
    pub directory: PathBuf,
    pub service: Arc<Service>,
    pub shutdown: Shutdown,
    /// Held by the one change that goes on.
    pub turn: Mutex<()>,
}

impl Reloader {
    async fn reload(&self, name: &str) -> Result<(), RepositoryError> {
        let _turn = self.turn.lock().await;
        if self.shutdown.has_begun() {
            return Err(RepositoryError::ShuttingDown);
        }
        let model = self.start(name).await?;
        let models = self.service.models();
        let old = models.current().get(Some(name)).ok().map(|old| old.info.weights_sha256.clone());
        let new = model.info.weights_sha256.clone();
        let set = models.current().with(model);
        if let Ok(model) = set.get(Some(name)) {
            watch_over(model, &self.service, &self.shutdown);
        }
        drop(models.swap(set));
        tracing::info!(model = name, old, new, "reloaded");
        Ok(())
    }

    async fn start(&self, name: &str) -> Result<ServedModel, RepositoryError> {
        // Only the name of a folder that is there gets into a path.
        if !self.folders().await?.iter().any(|known| known == name) {
            return Err(RepositoryError::Unknown(name.to_owned()));
        }
        self.load_folder(name).await.map_err(|error| {
            tracing::error!(model = name, "loading failed, all stays as it was: {error:#}");
            broken(&error)
        })
    }

    async fn load_folder(&self, name: &str) -> anyhow::Result<ServedModel> {
        let path = self.directory.join(name);
        let folder = spawn_blocking(move || ModelFolder::load(&path)).await??;
        self.loader.start(folder).await
    }

    async fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        let _turn = self.turn.lock().await;
        let models = self.service.models();
        let rest = models.current().without(name);
        models.swap(rest.ok_or_else(|| RepositoryError::Unknown(name.to_owned()))?);
        tracing::info!(model = name, "unloaded");
        Ok(())
    }

    async fn folders(&self) -> Result<Vec<String>, RepositoryError> {
        let directory = self.directory.clone();
        let names = spawn_blocking(move || folder::names(&directory)).await;
        names.context("listing").and_then(|names| Ok(names?)).map_err(|error| broken(&error))
    }
}

fn broken(error: &anyhow::Error) -> RepositoryError {
    RepositoryError::Broken(format!("{error:#}"))
}

impl Repository for Reloader {
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, RepositoryError>> {
        self.folders().boxed()
    }

    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>> {
        self.reload(name).boxed()
    }

    fn unload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>> {
        self.remove(name).boxed()
    }
}
