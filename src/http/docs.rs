//! `GET /docs/`: Swagger UI over `/openapi.json`, out of the binary.

use axum::Router;
use axum::http::{HeaderValue, header};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// As strict as Swagger UI can live with: it sets styles in its markup and has icons in its CSS.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Routes that describe the interface and show no data; they need no key.
pub const OPEN: [&str; 10] = [
    "/openapi.json",
    "/docs",
    "/docs/",
    "/docs/index.css",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui-standalone-preset.js",
    "/docs/swagger-initializer.js",
    "/docs/favicon-16x16.png",
    "/docs/favicon-32x32.png",
];

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    // "none" keeps it from asking a validator on the internet.
    let config = Config::new(["../openapi.json"])
        .validator_url("none")
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .default_models_expand_depth(-1);
    let policy = SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    Router::from(SwaggerUi::new("/docs").config(config)).layer(policy)
}
