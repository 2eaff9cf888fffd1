//! Metrics of requests, and the route that shows all metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::Metrics;

/// The label of requests for which there is no route: their paths are the client's invention.
const UNMATCHED: &str = "unmatched";

/// Middleware: counts and times every answer, by the route's pattern.
pub async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = path.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    metrics.request(route, response.status().as_u16(), started.elapsed());
    response
}

/// `GET /metrics`.
pub fn endpoint<S: Clone + Send + Sync + 'static>(registry: Registry) -> Router<S> {
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(move || async move { show(&registry) }))
}

fn show(registry: &Registry) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
