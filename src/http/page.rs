//! `GET /`: the web page, and its parts under `/page/`, out of the binary.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing but this service's own files, and pictures that the page itself holds.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Routes that show no data and take none; they need no key.
pub const OPEN: [&str; 9] = [
    "/",
    "/page/icon.svg",
    "/page/style.css",
    "/page/main.js",
    "/page/api.js",
    "/page/card.js",
    "/page/draw.js",
    "/page/heat.js",
    "/page/live.js",
];

/// What is served at each of [`OPEN`].
const FILES: [&str; OPEN.len()] = [
    include_str!("page/index.html"),
    include_str!("page/icon.svg"),
    include_str!("page/style.css"),
    include_str!("page/main.js"),
    include_str!("page/api.js"),
    include_str!("page/card.js"),
    include_str!("page/draw.js"),
    include_str!("page/heat.js"),
    include_str!("page/live.js"),
];

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let files = OPEN.into_iter().zip(FILES);
    files.fold(Router::new(), |router, (path, content)| {
        router.route(path, get(async move || file(path, content)))
    })
}

fn file(path: &str, content: &'static str) -> Response {
    let kind = match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    let headers: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // The files go with the binary: after an update old and new must not mix.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), content).into_response()
}
