//! Metrics of requests, and the route that shows all metrics.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::http::{RequestObserver, RequestRecord};

/// The label of requests for which there is no route: their paths are the client's invention.
const UNMATCHED: &str = "unmatched";

impl RequestObserver for Metrics {
    fn ended(&self, record: &RequestRecord) {
        let route = record.route.as_deref().unwrap_or(UNMATCHED);
        self.request(route, record.status, record.duration);
    }
}

pub const METRICS: &str = "/metrics";

/// `GET /metrics`.
pub fn endpoint(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new().route(METRICS, get(move || async move { show(&registry) }))
}

fn show(registry: &Registry) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
