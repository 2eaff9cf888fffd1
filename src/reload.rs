//! `POST /models/{name}/reload`: new weights without a restart.
//!
//! The folder is loaded, checked and warmed up beside the network that serves. Only if all of it
//! goes well are the two swapped, at once; requests that hold the old one finish on it, and it
//! ends with the last of them.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::sync::Mutex;

use crate::app::watch_over;
use crate::config::ApiKey;
use crate::http::{Code, Problem, ProblemBody, shows, unauthorized};
use crate::lifecycle::Shutdown;
use crate::model::ModelFolder;
use crate::models::Loader;
use crate::service::{ModelInfo, ServedModel, Service, ServiceError};

/// Reloads models for those who have the key.
pub struct Reloader {
    pub key: ApiKey,
    pub loader: Loader,
    /// The folder that holds the models' folders.
    pub directory: PathBuf,
    pub service: Arc<Service>,
    pub shutdown: Shutdown,
    /// Held by the one reload that goes on.
    pub turn: Mutex<()>,
}

/// The route.
pub fn routes(reloader: Reloader) -> Router {
    Router::new().route("/models/{name}/reload", post(reload)).with_state(Arc::new(reloader))
}

/// Load a model anew from its folder
///
/// There only if the service was started with an administration key, which must be shown as
/// `Authorization: Bearer KEY` or `X-API-Key: KEY`. If the folder is broken, the old network
/// stays in service.
#[utoipa::path(
    post,
    path = "/models/{name}/reload",
    tag = "models",
    params(("name" = String, Path, description = "Of a model in service")),
    responses(
        (status = 200, description = "The model that serves from now on", body = ModelInfo),
        (status = 401, description = "`unauthorized`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "`unknown-model`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`broken-model`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub async fn reload(
    State(reloader): State<Arc<Reloader>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !shows(&headers, &reloader.key) {
        return unauthorized("the administration key is missing or wrong");
    }
    match reloader.reload(&name).await {
        Ok(info) => Json(info).into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Reloader {
    async fn reload(&self, name: &str) -> Result<ModelInfo, Problem> {
        let _turn = self.turn.lock().await;
        if self.shutdown.has_begun() {
            return Err(ServiceError::ShuttingDown.into());
        }
        let models = self.service.models();
        // Only the name of a model in service gets into a path.
        let known = models.current().get(Some(name))?.info.clone();
        let model = self.load(&known.name).await.map_err(|error| {
            tracing::error!(model = name, "reload failed, the old network stays: {error:#}");
            Problem::new(Code::BrokenModel, format!("{error:#}"))
        })?;
        let info = model.info.clone();
        let set = models.current().with(model);
        if let Ok(model) = set.get(Some(name)) {
            watch_over(model, &self.service, &self.shutdown);
        }
        drop(models.swap(set));
        let (old, new) = (&known.weights_sha256, &info.weights_sha256);
        tracing::info!(model = name, old, new, "reloaded");
        Ok(info)
    }

    async fn load(&self, name: &str) -> anyhow::Result<ServedModel> {
        let path = self.directory.join(name);
        let folder = tokio::task::spawn_blocking(move || ModelFolder::load(&path)).await??;
        self.loader.start(folder).await
    }
}
