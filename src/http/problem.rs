//! Errors as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::code::Code;
use super::context::RequestContext;
use super::torchserve;
use super::upload::UploadError;
use super::v2::TensorError;
use crate::grpc;
use crate::service::ServiceError;

/// An error on its way out. As a response it carries itself as an extension, until
/// [`super::context::track`] writes the body, which names the request.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

/// Errors are `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(examples(json!({
    "type": "urn:nin-serve:problem:unsupported-image",
    "title": "Not a picture in a supported format",
    "status": 415,
    "detail": "the content is not a picture in a supported format",
    "instance": "/classify",
    "code": "unsupported-image",
    "request_id": "01983a2e-8f0b-7c3e-9a51-3f1f0c5c2d7e"
})))]
pub struct ProblemBody {
    /// A URN that ends in the code.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    /// Path of the request.
    instance: String,
    code: Code,
    request_id: String,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }

    /// An error of the service. The cause goes to the log, here and only here.
    pub fn internal(cause: &str) -> Self {
        tracing::error!(cause, "internal error");
        Self::new(Code::InternalError, "the service met an error of its own, which is in its log")
    }

    /// Says which part of a request it is about.
    pub fn of(self, part: impl fmt::Display) -> Self {
        Self { detail: format!("{part}: {}", self.detail).into(), ..self }
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn body(&self, context: &RequestContext) -> ProblemBody {
        let (code, status, title) = self.code.row();
        ProblemBody {
            kind: format!("urn:nin-serve:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail.clone(),
            instance: context.path().to_owned(),
            code: self.code,
            request_id: context.id().to_owned(),
        }
    }

    /// The whole answer, in the dialect of its route.
    pub(super) fn render(&self, context: &RequestContext) -> Response {
        let status = self.code.status();
        let mut response = match Dialect::of(context.path()) {
            Dialect::Problem => {
                let kind = HeaderValue::from_static("application/problem+json");
                let kind = [(header::CONTENT_TYPE, kind)];
                (status, kind, Json(self.body(context))).into_response()
            }
            Dialect::Error => (status, Json(json!({"error": self.detail}))).into_response(),
            Dialect::Grpc => grpc::status(self.code, &self.detail).into_http(),
            Dialect::TorchServe => {
                let kind = torchserve::exception(status);
                let body = json!({"code": status.as_u16(), "type": kind, "message": self.detail});
                (status, Json(body)).into_response()
            }
        };
        let headers = response.headers_mut();
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().into());
        }
        response
    }
}

/// How errors are written.
enum Dialect {
    /// RFC 9457.
    Problem,
    /// `{"error": …}`, as in the Open Inference Protocol and in KServe's.
    Error,
    TorchServe,
    /// A status in the headers.
    Grpc,
}

impl Dialect {
    fn of(path: &str) -> Self {
        let segment = path.split('/').nth(1);
        match segment {
            Some("v1" | "v2") => Self::Error,
            Some("predictions" | "ping") => Self::TorchServe,
            Some(service) if service.starts_with("inference.") || service.starts_with("grpc.") => {
                Self::Grpc
            }
            _ => Self::Problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let retry_after = match &error {
            ServiceError::Internal { cause } => return Self::internal(cause),
            ServiceError::Overloaded { retry_after } => Some(*retry_after),
            _ => None,
        };
        Self { code: Code::from(&error), detail: error.to_string().into(), retry_after }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let code = match error {
            UploadError::Service(error) => return error.into(),
            UploadError::EmptyBody => Code::EmptyBody,
            UploadError::MissingImage(_) => Code::MissingImage,
            UploadError::TooManyImages { .. } => Code::TooManyImages,
            UploadError::Base64 { .. } => Code::InvalidBase64,
            UploadError::Json(_) => Code::InvalidJson,
            UploadError::Multipart(_) => Code::InvalidMultipart,
            UploadError::TooLarge { .. } => Code::BodyTooLarge,
            UploadError::TooSlow => Code::RequestTimeout,
            UploadError::BrokeOff => Code::IncompleteBody,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TensorError> for Problem {
    fn from(error: TensorError) -> Self {
        let code = match error {
            TensorError::Json(_) => Code::InvalidJson,
            TensorError::TooMany { .. } => Code::TooManyImages,
            _ => Code::InvalidTensor,
        };
        Self::new(code, error.to_string())
    }
}
