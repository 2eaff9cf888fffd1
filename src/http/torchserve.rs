//! TorchServe's inference interface: `/ping` and `/predictions`.
//!
//! <https://docs.pytorch.org/serve/inference_api.html>

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::Api;
use super::answer::{SERVER_TIMING, server_timing};
use super::classify::Admitted;
use super::context::RequestContext;
use super::health::fresh;
use super::problem::Problem;
use super::upload::{Shape, Upload, UploadError, receive};
use super::v2::ModelPath;
use crate::service::{Picture, ranking};

pub(super) const PING: &str = "/ping";

/// What TorchServe's image classifier answers with.
const BEST: NonZeroUsize = NonZeroUsize::new(5).expect("not zero");

pub(super) fn routes() -> Router<Arc<Api>> {
    // `curl -T` puts, and TorchServe's own examples use it.
    let predictions = || post(predict).put(predict);
    Router::new()
        .route(PING, get(ping))
        .route("/predictions/{model}", predictions())
        .route("/predictions/{model}/{version}", predictions())
}

async fn ping(State(api): State<Arc<Api>>) -> Response {
    if api.service.unready().is_empty() {
        fresh(StatusCode::OK, json!({"status": "Healthy"}))
    } else {
        fresh(StatusCode::SERVICE_UNAVAILABLE, json!({"status": "Unhealthy"}))
    }
}

async fn predict(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    path: ModelPath,
    request: Request,
) -> Result<Response, Problem> {
    let ticket = api.service.accept(None)?;
    let admitted = Admitted::new(&api, &context, ticket, Some(&path.model))?;
    let uploads = receive(&api, &admitted, Shape::One, request).await?;
    context.record(|work| work.pictures = uploads.len());
    let Upload { bytes, .. } = uploads.into_iter().next().ok_or(UploadError::EmptyBody)?;
    let Admitted { ticket, model } = &admitted;
    let picture = Picture { bytes: bytes?, maps: false };
    let found = api.service.classify(ticket, model, picture).await?;
    context.record(|work| {
        work.batch_size = Some(found.batch_size);
        work.timings = Some(found.timings);
    });
    let best = ranking(&found.prediction.probabilities, Some(BEST));
    let labelled = best.iter().map(|(class, value)| (model.info.labels[*class].as_str(), *value));
    let timing = [(SERVER_TIMING, server_timing(found.timings, ticket))];
    Ok((timing, Json(InOrder(labelled.collect()))).into_response())
}

/// A JSON object whose fields keep their order.
struct InOrder<'a>(Vec<(&'a str, f32)>);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// TorchServe's name for what a status means.
pub(super) fn exception(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "ModelNotFoundException",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowedException",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
        status if status.is_client_error() => "BadRequestException",
        _ => "InternalServerException",
    }
}
