//! Routes that change what is served: models in, models out. Triton's repository extension, and a
//! reload of our own; both do the same.
//!
//! They are for those who show the admin key; without one they are off.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::body::{Limits, Received};
use super::code::Code;
use super::guard::Admin;
use super::problem::{Problem, ProblemBody};
use super::v2;
use crate::service::ModelInfo;

/// Where models come from.
pub trait Repository: Send + Sync + 'static {
    /// All models that are there, in service or not, in the order of their names.
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, RepositoryError>>;

    /// Reads a model anew and puts it into service, in place of the one of that name if there is
    /// one. That one stays if the new one is not fit, and answers what it has begun.
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>>;

    /// Takes a model out of service; it still answers what it has begun.
    fn unload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RepositoryError>>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    #[error("there is no model {0:?}")]
    Unknown(String),
    /// What was in service before still is.
    #[error("{0}")]
    Broken(String),
    #[error("the service is shutting down")]
    ShuttingDown,
}

impl From<RepositoryError> for Problem {
    fn from(error: RepositoryError) -> Self {
        let code = match error {
            RepositoryError::Unknown(_) => Code::UnknownModel,
            RepositoryError::Broken(_) => Code::BrokenModel,
            RepositoryError::ShuttingDown => Code::ShuttingDown,
        };
        Self::new(code, error.to_string())
    }
}

/// What the routes need.
#[derive(Clone)]
pub struct Administration {
    pub api: Arc<Api>,
    pub repository: Arc<dyn Repository>,
}

/// Lets only administrators in. The name is the model's.
pub(super) struct ForAdmin {
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ForAdmin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Admin>().copied().unwrap_or(Admin::Off).check()?;
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::NotFound, error.body_text()))?;
        Ok(Self { name })
    }
}

impl Admin {
    pub(crate) fn check(self) -> Result<(), Problem> {
        match self {
            Self::Yes => Ok(()),
            Self::No => Err(Problem::new(Code::Unauthorized, "the admin key is missing or wrong")),
            Self::Off => {
                Err(Problem::new(Code::Forbidden, "administration is off; start with --admin-key"))
            }
        }
    }
}

impl Administration {
    /// Whether they are on, and for whom, is up to the router's guard.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/models/{name}/reload", post(reload))
            .route("/v2/repository/index", post(index))
            .route("/v2/repository/models/{name}/load", post(load))
            .route("/v2/repository/models/{name}/unload", post(unload))
            .with_state(self.clone())
    }

    pub(crate) fn refuse_parameter(name: &str) -> Problem {
        let detail = format!("{name:?}: models are loaded from their folders, as they are");
        Problem::new(Code::InvalidParameter, detail)
    }

    pub(crate) async fn load(&self, name: &str) -> Result<(), Problem> {
        // Shutdown waits for it.
        let _ticket = self.api.service.accept(None)?;
        Ok(self.repository.load(name).await?)
    }

    pub(crate) async fn unload(&self, name: &str) -> Result<(), Problem> {
        let _ticket = self.api.service.accept(None)?;
        Ok(self.repository.unload(name).await?)
    }

    /// Every model with why it does not answer, if it does not.
    pub(crate) async fn index(&self) -> Result<Vec<(String, Option<String>)>, Problem> {
        let names = self.repository.names().await?;
        let models = self.api.service.models().current();
        let state = |name: String| {
            let unready = match models.get(Some(&name)) {
                Ok(model) => model.unready().map(|unready| unready.to_string()),
                Err(_) => Some("unloaded".to_owned()),
            };
            (name, unready)
        };
        Ok(names.into_iter().map(state).collect())
    }
}

/// Load a model anew
///
/// The weights are read and checked beside those in service, which stay if they are not fit.
/// Requests in flight finish on the network that they started with.
#[utoipa::path(
    post, path = "/models/{name}/reload", tag = "models",
    params(("name" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "The model that is in service now", body = ModelInfo),
        (status = 401, description = "`unauthorized`: not the admin key",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: no admin key is set",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`unknown-model`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`broken-model`: the one before stays in service",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(
    State(state): State<Administration>,
    ForAdmin { name }: ForAdmin,
) -> Result<Json<ModelInfo>, Problem> {
    state.load(&name).await?;
    Ok(Json(state.api.service.models().current().get(Some(&name))?.info.clone()))
}

async fn load(
    State(state): State<Administration>,
    ForAdmin { name }: ForAdmin,
    request: Request,
) -> Result<(), Problem> {
    let asked: LoadRequest = state.read(request.into_body()).await?;
    // Files and configurations in the request are how Triton lets clients bring models.
    if let Some(parameter) = asked.parameters.keys().next() {
        return Err(Administration::refuse_parameter(parameter));
    }
    state.load(&name).await
}

async fn unload(
    State(state): State<Administration>,
    ForAdmin { name }: ForAdmin,
) -> Result<(), Problem> {
    state.unload(&name).await
}

async fn index(
    State(state): State<Administration>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let IndexRequest { ready } = state.read(request.into_body()).await?;
    let models = state.index().await?;
    let models = models.into_iter().filter(|(_, unready)| !ready || unready.is_none());
    let models = models.map(|(name, unready)| {
        let state = state_name(unready.as_deref());
        let reason = unready.unwrap_or_default();
        json!({"name": name, "version": v2::VERSION, "state": state, "reason": reason})
    });
    Ok(Json(models.collect()))
}

/// Triton's name for it.
pub(crate) fn state_name(unready: Option<&str>) -> &'static str {
    if unready.is_none() { "READY" } else { "UNAVAILABLE" }
}

#[derive(Debug, Default, Deserialize)]
struct LoadRequest {
    #[serde(default)]
    parameters: serde_json::Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    /// Only models that answer.
    #[serde(default)]
    ready: bool,
}

/// Bytes of a request's JSON.
const LARGEST: u64 = 64 << 10;

impl Administration {
    /// JSON, or nothing.
    async fn read<T: Default + serde::de::DeserializeOwned>(
        &self,
        body: Body,
    ) -> Result<T, Problem> {
        let limits = Limits {
            max_bytes: LARGEST,
            until: tokio::time::Instant::now() + self.api.config.body_timeout,
            budget: self.api.service.budget(),
            retry_after: std::time::Duration::from_secs(1),
        };
        let Received { bytes, .. } = Received::read(body, limits).await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(Code::InvalidJson, error.to_string()))
    }
}
