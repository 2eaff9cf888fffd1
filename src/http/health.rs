//! `GET /health`, `/health/live`, `/health/ready`: for people, for restarts, for load balancers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::batching::QueueStats;
use crate::service::ServedModel;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// The process serves HTTP.
    Live,
    /// Every model answers.
    Ready,
    /// Send no requests here now.
    Unready,
}

/// Whether to send requests here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"status": "ready", "reasons": []})))]
pub(super) struct Readiness {
    status: Status,
    /// Why not.
    reasons: Vec<String>,
}

/// That the process serves HTTP.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"status": "live"})))]
pub(super) struct Liveness {
    status: Status,
}

/// The state of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    #[serde(flatten)]
    readiness: Readiness,
    version: &'static str,
    uptime_seconds: u64,
    models: Vec<ModelHealth>,
    queue: Load,
}

#[derive(Debug, Serialize, ToSchema)]
struct ModelHealth {
    name: String,
    ready: bool,
    queue: EngineQueue,
}

/// Pictures that are ready for their network.
#[derive(Debug, Default, Serialize, ToSchema)]
struct EngineQueue {
    waiting: usize,
    /// With the engine.
    running: usize,
}

/// What is there to do, over all models.
#[derive(Debug, Serialize, ToSchema)]
struct Load {
    /// Accepted and not answered.
    requests: usize,
    /// Pictures that wait for a decoding thread.
    undecoded: usize,
    /// Pictures on a decoding thread.
    decoding: usize,
    #[serde(flatten)]
    engines: EngineQueue,
    /// Bytes that uploads and pictures hold.
    memory_bytes: u64,
    memory_budget_bytes: u64,
}

impl From<QueueStats> for EngineQueue {
    fn from(stats: QueueStats) -> Self {
        Self { waiting: stats.depth, running: stats.in_flight }
    }
}

impl ModelHealth {
    fn of(model: &ServedModel) -> Self {
        Self {
            name: model.info.name.clone(),
            ready: model.unready().is_none(),
            queue: model.batcher.stats().into(),
        }
    }
}

impl Readiness {
    fn of(api: &Api) -> Self {
        let reasons: Vec<_> = api.service.unready().iter().map(ToString::to_string).collect();
        let status = if reasons.is_empty() { Status::Ready } else { Status::Unready };
        Self { status, reasons }
    }

    fn code(&self) -> StatusCode {
        match self.status {
            Status::Unready => StatusCode::SERVICE_UNAVAILABLE,
            Status::Live | Status::Ready => StatusCode::OK,
        }
    }
}

/// The state of the service
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "Ready", body = Health),
    (status = 503, description = "Not ready", body = Health),
))]
pub(super) async fn health(State(api): State<Arc<Api>>) -> Response {
    let models: Vec<_> =
        api.service.models().current().iter().map(|model| ModelHealth::of(model)).collect();
    let decoding = api.service.decode_load();
    let queue = Load {
        requests: api.service.in_flight(),
        undecoded: decoding.waiting,
        decoding: decoding.running,
        engines: EngineQueue {
            waiting: models.iter().map(|model| model.queue.waiting).sum(),
            running: models.iter().map(|model| model.queue.running).sum(),
        },
        memory_bytes: api.service.budget().in_flight(),
        memory_budget_bytes: api.service.budget().total(),
    };
    let readiness = Readiness::of(&api);
    let code = readiness.code();
    let health = Health {
        readiness,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: api.service.uptime().as_secs(),
        models,
        queue,
    };
    fresh(code, health)
}

/// Whether the process serves HTTP
///
/// Never depends on load or models: a failure is a reason to restart the process.
#[utoipa::path(get, path = "/health/live", tag = "health", responses(
    (status = 200, description = "Live", body = Liveness),
))]
pub(super) async fn live() -> Response {
    fresh(StatusCode::OK, Liveness { status: Status::Live })
}

/// Whether to send requests here
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "Every model answers", body = Readiness),
    (status = 503, description = "Some model does not answer, or the service shuts down",
        body = Readiness),
))]
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let readiness = Readiness::of(&api);
    fresh(readiness.code(), readiness)
}

/// An answer that no cache may keep.
pub(super) fn fresh(code: StatusCode, body: impl Serialize) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    (code, [(header::CACHE_CONTROL, no_store)], Json(body)).into_response()
}
