//! What every request must pass before its route: sizes of its head, and the key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use super::code::Code;
use super::problem::Problem;
use crate::config::ApiKey;

/// Bytes of a path with its query.
const LONGEST_URI: usize = 8 * 1024;
/// Bytes of all header names and values.
const LARGEST_HEADERS: usize = 32 * 1024;

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// None: everyone.
    pub api_key: Option<ApiKey>,
    /// Opens what the API key opens, too.
    pub admin_key: Option<ApiKey>,
    /// Paths that need no key.
    pub open: Vec<&'static str>,
    /// Origins of web pages that may call the service; `*` is every origin.
    pub cors_origins: Vec<HeaderValue>,
}

/// Whether a request may administer: an extension of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admin {
    Yes,
    No,
    /// Nobody may.
    Off,
}

impl Guard {
    /// The answer to questions of browsers; none if web pages may not call the service.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        if self.cors_origins.is_empty() {
            return None;
        }
        let origins = if self.cors_origins.iter().any(|origin| origin == "*") {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(self.cors_origins.clone())
        };
        // Any header, by name: a `*` would not cover `Authorization`.
        let headers = AllowHeaders::mirror_request();
        let cors = CorsLayer::new().allow_origin(origins).allow_methods(Any);
        Some(cors.allow_headers(headers).expose_headers(Any))
    }

    /// What the request may do, unless it may not come in.
    fn check(&self, request: &Request) -> Result<Admin, Problem> {
        let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
        if uri > LONGEST_URI {
            let detail = format!("the URI has {uri} bytes, at most {LONGEST_URI} are taken");
            return Err(Problem::new(Code::UriTooLong, detail));
        }
        let headers: usize =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers > LARGEST_HEADERS {
            let detail =
                format!("the headers have {headers} bytes, at most {LARGEST_HEADERS} are taken");
            return Err(Problem::new(Code::HeadersTooLarge, detail));
        }
        let admin = match &self.admin_key {
            None => Admin::Off,
            Some(key) if shows(request.headers(), key) => Admin::Yes,
            Some(_) => Admin::No,
        };
        let open = admin == Admin::Yes || self.open.contains(&request.uri().path());
        match &self.api_key {
            Some(key) if !open && !shows(request.headers(), key) => {
                Err(Problem::new(Code::Unauthorized, "the API key is missing or wrong"))
            }
            _ => Ok(admin),
        }
    }
}

/// Whether the key is among the headers, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
fn shows(headers: &HeaderMap, key: &ApiKey) -> bool {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
    });
    let plain = headers.get("x-api-key").map(HeaderValue::as_bytes);
    // Compared in a time that does not tell how much of it is right.
    [bearer, plain].into_iter().flatten().any(|shown| shown.ct_eq(key.as_bytes()).into())
}

/// The layer.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    match guard.check(&request) {
        Ok(admin) => {
            request.extensions_mut().insert(admin);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
