//! The HTTP interface: routes, uploads, answers, problems.
//!
//! ```text
//! track (request id, log, problem body) ─▶ nosniff ─▶ panics ─▶ guard ─▶ route ─▶ upload ─▶ service
//! ```

mod admin;
mod answer;
mod batch;
mod body;
mod classify;
mod code;
mod context;
mod docs;
mod explain;
mod guard;
mod health;
mod json;
mod kserve;
mod linger;
mod media;
mod models;
mod multipart;
mod openapi;
mod page;
mod params;
mod problem;
mod torchserve;
mod trace;
mod upload;
pub(crate) mod v2;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

pub(crate) use admin::state_name;
pub use admin::{Administration, Repository, RepositoryError};
pub(crate) use body::{Charge, Limits, Received, charged};
pub(crate) use classify::Admitted;
pub use code::Code;
pub use context::{CLIENT_CLOSED, RequestContext, RequestObserver, RequestRecord, Work};
pub use docs::OPEN as DOCS;
pub(crate) use guard::Admin;
pub use guard::Guard;
pub use openapi::document;
pub use page::OPEN as PAGE;
pub use problem::{Problem, ProblemBody};
pub use upload::{Shape, Upload, UploadError, uploads};

use crate::batching::panic_message;
use crate::grpc;
use crate::service::{Service, Ticket};
use crate::traces::Traces;
use openapi::Document;

#[derive(Debug, Clone, Copy)]
pub struct HttpConfig {
    /// Most bytes of a request's body.
    pub max_body: u64,
    /// Longest that a body may take to arrive. The request's own deadline bounds it, too.
    pub body_timeout: Duration,
    /// Most pictures of one request to `/classify/batch`.
    pub max_batch_images: usize,
}

/// What the handlers share.
pub struct Api {
    pub service: Arc<Service>,
    pub config: HttpConfig,
    pub observer: Arc<dyn RequestObserver>,
    /// None: nothing is exported.
    pub traces: Option<Traces>,
}

impl Api {
    /// For the body of a request; `retry_after` is what to say when there is no memory.
    pub(crate) fn limits(&self, ticket: &Ticket, retry_after: Duration) -> Limits<'_> {
        Limits {
            max_bytes: self.config.max_body.min(self.service.budget().total()),
            until: ticket.deadline().min(ticket.arrived() + self.config.body_timeout),
            budget: self.service.budget(),
            retry_after,
        }
    }
}

pub const HEALTH: &str = "/health";
pub const LIVE: &str = "/health/live";
pub const READY: &str = "/health/ready";
/// Tell whether the service is well, and nothing else.
pub const OPEN: [&str; 9] = [
    HEALTH,
    LIVE,
    READY,
    v2::LIVE,
    v2::READY,
    torchserve::PING,
    grpc::HEALTH,
    grpc::SERVER_LIVE,
    grpc::SERVER_READY,
];

/// Every URL of the service. `more` is where other parts hang theirs in; they get the same
/// treatment. `guard` stands before all of them.
pub fn router(api: Arc<Api>, more: Router, guard: Guard) -> Router {
    let routes = Router::new()
        .route("/classify", post(classify::classify))
        .route("/classify/batch", post(batch::classify_batch))
        .route("/explain", post(explain::explain))
        .route("/models", get(models::models))
        .route("/models/{name}", get(models::model))
        .route(HEALTH, get(health::health))
        .route(LIVE, get(health::live))
        .route(READY, get(health::ready))
        .route("/openapi.json", get(openapi::openapi).layer(Extension(Document::new())));
    let routes = routes
        .merge(v2::routes())
        .merge(kserve::routes())
        .merge(torchserve::routes())
        .merge(page::routes())
        .merge(docs::routes())
        .with_state(Arc::clone(&api))
        .merge(more);
    guarded(api, routes, guard)
}

/// Puts what every route has around `routes`: `guard`, the log, problems, and the rest.
pub(crate) fn guarded(api: Arc<Api>, routes: Router, guard: Guard) -> Router {
    let cors = guard.cors();
    let mut routes = routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::new(guard), guard::check));
    if let Some(cors) = cors {
        routes = routes.layer(cors);
    }
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(from_fn_with_state(api, context::track))
}

/// Whether a route is asked again and again by machines that watch the service.
fn is_probe(route: &str) -> bool {
    OPEN.contains(&route) || route == "/metrics"
}

async fn not_found(Extension(context): Extension<RequestContext>) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {:?}", context.path()))
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} is not among the methods that Allow names", request.method());
    Problem::new(Code::MethodNotAllowed, detail)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    Problem::internal(&format!("a handler panicked: {}", panic_message(&*panic))).into_response()
}
