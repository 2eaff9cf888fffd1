//! `GET /openapi.json`: the description of this interface for programs.

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use super::problem::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "nin-serve",
        description = "Classifies pictures with Network-in-Network models.\n\nErrors are \
            `application/problem+json` (RFC 9457) with a stable `code`. Every answer carries \
            `x-request-id`, which is the client's own if it sent one."
    ),
    paths(
        super::classify::classify,
        super::batch::classify_batch,
        super::explain::explain,
        super::models::models,
        super::models::model,
        super::admin::reload,
        super::health::health,
        super::health::live,
        super::health::ready,
        crate::metrics::http::metrics,
        openapi,
    ),
    tags(
        (name = "classification", description = "Pictures in, probabilities out"),
        (name = "models", description = "What is served, and what it wants to be fed"),
        (name = "health", description = "For people, supervisors and load balancers"),
        (name = "description", description = "This document"),
    ),
    modifiers(&Key),
    // Either none, or the key: whether one is asked for is a setting.
    security((), ("key" = []))
)]
struct Description;

/// The key that a service may ask for.
struct Key;

impl Modify for Key {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        description.components.get_or_insert_default().add_security_scheme("key", key);
    }
}

/// A form with one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct OneFile {
    /// The field's name is free; other fields are passed over.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct File(Vec<u8>);

/// A form with several files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ManyFiles {
    /// The fields' names are free and may repeat; fields without a file are passed over.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
}

/// The problems of requests with pictures.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum Problems {
    /// `empty-body`, `missing-image`, `too-many-images`, `invalid-base64`, `invalid-json`,
    /// `invalid-multipart`, `invalid-parameter` or `incomplete-body`
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// `unauthorized`: the service asks for its API key
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// `unknown-model`
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// `request-timeout`: the body did not arrive in time
    #[response(status = 408, content_type = "application/problem+json")]
    Timeout(ProblemBody),
    /// `body-too-large` or `image-too-large`
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// `unsupported-image`
    #[response(status = 415, content_type = "application/problem+json")]
    Unsupported(ProblemBody),
    /// `corrupt-image`
    #[response(status = 422, content_type = "application/problem+json")]
    Corrupt(ProblemBody),
    /// `inference-failed` or `internal-error`
    #[response(status = 500, content_type = "application/problem+json")]
    Failed(ProblemBody),
    /// `overloaded` or `shutting-down`
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("retry-after" = u64, description = "Seconds; if overloaded"))
    )]
    Unavailable(ProblemBody),
    /// `deadline-exceeded`
    #[response(status = 504, content_type = "application/problem+json")]
    DeadlineExceeded(ProblemBody),
}

/// The document as JSON.
pub fn document() -> String {
    let description = Description::openapi();
    description.to_pretty_json().expect("the description holds nothing that JSON can't")
}

/// The document, made once.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new() -> Self {
        Self(document().into())
    }
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "description", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
))]
pub(super) async fn openapi(Extension(Document(json)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}
