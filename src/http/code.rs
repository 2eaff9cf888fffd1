//! What can go wrong, and the one place that gives each error its status.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::preprocess::PictureError;
use crate::service::ServiceError;

/// What went wrong, for programs. Codes are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    EmptyBody,
    MissingImage,
    TooManyImages,
    InvalidBase64,
    InvalidJson,
    InvalidMultipart,
    InvalidParameter,
    InvalidTensor,
    IncompleteBody,
    Unauthorized,
    Forbidden,
    NotFound,
    UnknownModel,
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge,
    ImageTooLarge,
    UriTooLong,
    HeadersTooLarge,
    UnsupportedImage,
    UnsupportedEncoding,
    CorruptImage,
    BrokenModel,
    InferenceFailed,
    InternalError,
    Overloaded,
    NotReady,
    ShuttingDown,
    DeadlineExceeded,
}

impl Code {
    /// Code, status and title.
    pub(super) const fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::EmptyBody => ("empty-body", S::BAD_REQUEST, "The body is empty"),
            Self::MissingImage => ("missing-image", S::BAD_REQUEST, "No picture was sent"),
            Self::TooManyImages => ("too-many-images", S::BAD_REQUEST, "Too many pictures"),
            Self::InvalidBase64 => ("invalid-base64", S::BAD_REQUEST, "Invalid base64"),
            Self::InvalidJson => ("invalid-json", S::BAD_REQUEST, "Invalid JSON"),
            Self::InvalidMultipart => ("invalid-multipart", S::BAD_REQUEST, "Invalid multipart"),
            Self::InvalidParameter => ("invalid-parameter", S::BAD_REQUEST, "Invalid parameter"),
            Self::InvalidTensor => ("invalid-tensor", S::BAD_REQUEST, "Invalid tensor"),
            Self::IncompleteBody => ("incomplete-body", S::BAD_REQUEST, "The body broke off"),
            Self::Unauthorized => ("unauthorized", S::UNAUTHORIZED, "An API key is needed"),
            Self::Forbidden => ("forbidden", S::FORBIDDEN, "Not allowed"),
            Self::NotFound => ("not-found", S::NOT_FOUND, "There is nothing here"),
            Self::UnknownModel => ("unknown-model", S::NOT_FOUND, "Unknown model"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", S::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::RequestTimeout => {
                ("request-timeout", S::REQUEST_TIMEOUT, "The body came too slowly")
            }
            Self::BodyTooLarge => ("body-too-large", S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::ImageTooLarge => {
                ("image-too-large", S::PAYLOAD_TOO_LARGE, "The picture is too large")
            }
            Self::UriTooLong => ("uri-too-long", S::URI_TOO_LONG, "The URI is too long"),
            Self::HeadersTooLarge => (
                "headers-too-large",
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The headers are too large",
            ),
            Self::UnsupportedImage => (
                "unsupported-image",
                S::UNSUPPORTED_MEDIA_TYPE,
                "Not a picture in a supported format",
            ),
            Self::UnsupportedEncoding => {
                ("unsupported-encoding", S::UNSUPPORTED_MEDIA_TYPE, "The body is compressed")
            }
            Self::CorruptImage => {
                ("corrupt-image", S::UNPROCESSABLE_ENTITY, "The picture is broken")
            }
            Self::BrokenModel => {
                ("broken-model", S::UNPROCESSABLE_ENTITY, "The model's folder is broken")
            }
            Self::InferenceFailed => {
                ("inference-failed", S::INTERNAL_SERVER_ERROR, "The network failed")
            }
            Self::InternalError => ("internal-error", S::INTERNAL_SERVER_ERROR, "Internal error"),
            Self::Overloaded => ("overloaded", S::SERVICE_UNAVAILABLE, "Overloaded"),
            Self::NotReady => ("not-ready", S::SERVICE_UNAVAILABLE, "Not ready"),
            Self::ShuttingDown => ("shutting-down", S::SERVICE_UNAVAILABLE, "Shutting down"),
            Self::DeadlineExceeded => {
                ("deadline-exceeded", S::GATEWAY_TIMEOUT, "The deadline passed")
            }
        }
    }

    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    pub const fn status(self) -> StatusCode {
        self.row().1
    }
}

impl From<&ServiceError> for Code {
    fn from(error: &ServiceError) -> Self {
        match error {
            ServiceError::UnknownModel { .. } => Self::UnknownModel,
            ServiceError::Picture(PictureError::Unsupported) => Self::UnsupportedImage,
            ServiceError::Picture(PictureError::Corrupt { .. }) => Self::CorruptImage,
            ServiceError::Picture(PictureError::TooLarge { .. })
            | ServiceError::TooMuchMemory { .. } => Self::ImageTooLarge,
            ServiceError::Overloaded { .. } => Self::Overloaded,
            ServiceError::DeadlineExceeded => Self::DeadlineExceeded,
            ServiceError::ShuttingDown => Self::ShuttingDown,
            ServiceError::InferenceFailed => Self::InferenceFailed,
            ServiceError::Internal { .. } => Self::InternalError,
        }
    }
}
