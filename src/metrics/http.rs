//! Metrics of requests, and the route that shows all metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::http::{Problem, RequestObserver, RequestRecord};

/// The label of requests for which there is no route: their paths are the client's invention.
const UNMATCHED: &str = "unmatched";

impl RequestObserver for Metrics {
    fn ended(&self, record: &RequestRecord) {
        let route = record.route.as_deref().unwrap_or(UNMATCHED);
        self.request(route, record.status, record.duration);
    }
}

pub const METRICS: &str = "/metrics";

/// The route.
pub fn routes(registry: Registry) -> Router {
    Router::new().route(METRICS, get(metrics)).with_state(Arc::new(registry))
}

/// The metrics
///
/// In the text format of OpenMetrics, which Prometheus reads. Where the service is told to, it
/// asks for the API key, or has no such route.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "All metrics", body = String,
        content_type = "application/openmetrics-text"),
))]
pub async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => Problem::internal(&error.to_string()).into_response(),
    }
}
