//! Takes the pictures out of a body, in whichever of three forms they were sent.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};

use super::body::{Charge, Received, charged};
use super::classify::Admitted;
use super::{Api, json, media, multipart};
use crate::service::ServiceError;

/// What was wrong with a body, or with one picture in it.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the body is empty; send a picture")]
    EmptyBody,
    #[error("{0}")]
    MissingImage(String),
    #[error("at most {limit} pictures are taken here")]
    TooManyImages { limit: usize },
    #[error("{place}: {reason}")]
    Base64 { place: String, reason: String },
    #[error("{0}")]
    Json(String),
    #[error("{0}")]
    Multipart(String),
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the connection ended before the body did")]
    BrokeOff,
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A picture as it was sent.
#[derive(Debug)]
pub struct Upload {
    /// What the sender calls it.
    pub name: String,
    /// The media type that it was declared to be, if any.
    pub declared: Option<String>,
    /// Of its file, not empty; or why there are none.
    pub bytes: Result<Bytes, UploadError>,
}

/// How many pictures a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    One,
    /// At most so many.
    Many(usize),
}

impl Shape {
    pub(super) fn limit(self) -> usize {
        match self {
            Self::One => 1,
            Self::Many(limit) => limit,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// The body is the picture.
    Raw {
        declared: Option<String>,
    },
    Json,
    Multipart {
        boundary: String,
    },
}

/// Reads the body and takes the pictures out of it: at least one, at most what `shape` says.
pub(super) async fn receive(
    api: &Api,
    admitted: &Admitted,
    shape: Shape,
    request: Request,
) -> Result<Vec<Upload>, UploadError> {
    let (parts, body) = request.into_parts();
    let Received { bytes, charge } = read_body(api, admitted, body).await?;
    let form = Form::of(content_type(&parts.headers), &bytes)?;
    match form {
        Form::Raw { .. } => form.parse(bytes, charge, shape),
        // Megabytes of text or parts are work for the decoding threads.
        _ => {
            api.service
                .off_runtime(&admitted.ticket, move || form.parse(bytes, charge, shape))
                .await?
        }
    }
}

/// The pictures of a whole body, without a service around it.
pub fn uploads(
    content_type: Option<&str>,
    body: Vec<u8>,
    shape: Shape,
) -> Result<Vec<Upload>, UploadError> {
    Form::of(content_type, &body)?.parse(body, Charge::default(), shape)
}

/// Reads the whole of a body, which must not be empty.
pub(crate) async fn read_body(
    api: &Api,
    Admitted { ticket, model }: &Admitted,
    body: Body,
) -> Result<Received, UploadError> {
    let limits = api.limits(ticket, api.service.retry_after(model));
    let received = Received::read(body, limits).await?;
    if received.bytes.is_empty() { Err(UploadError::EmptyBody) } else { Ok(received) }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

impl Form {
    fn of(declared: Option<&str>, body: &[u8]) -> Result<Self, UploadError> {
        let essence = declared.map(media::essence);
        match essence.as_deref() {
            Some("multipart/form-data") => {
                let boundary = multer::parse_boundary(declared.unwrap_or_default())
                    .map_err(|error| UploadError::Multipart(error.to_string()))?;
                Ok(Self::Multipart { boundary })
            }
            Some(json) if json == "application/json" || json.ends_with("+json") => Ok(Self::Json),
            // What `curl -d` sends: no picture starts with a brace, JSON does.
            None | Some(media::FORM) if body.trim_ascii_start().starts_with(b"{") => Ok(Self::Json),
            _ => Ok(Self::Raw { declared: declared.map(str::to_owned) }),
        }
    }

    fn parse(
        self,
        body: Vec<u8>,
        charge: Charge,
        shape: Shape,
    ) -> Result<Vec<Upload>, UploadError> {
        let mut uploads = match self {
            Self::Raw { declared } => {
                vec![Upload { name: "body".to_owned(), declared, bytes: Ok(body.into()) }]
            }
            Self::Json => json::parse(&body, shape)?,
            Self::Multipart { boundary } => multipart::parse(body, &boundary, shape)?,
        };
        if uploads.is_empty() {
            return Err(UploadError::MissingImage("there is no picture in the body".to_owned()));
        }
        let charge = Arc::new(charge);
        for upload in &mut uploads {
            upload.bytes = match std::mem::replace(&mut upload.bytes, Err(UploadError::EmptyBody)) {
                Ok(bytes) if bytes.is_empty() => {
                    Err(UploadError::MissingImage(format!("{} is empty", upload.name)))
                }
                Ok(bytes) => Ok(charged(bytes, &charge)),
                Err(error) => Err(error),
            };
        }
        Ok(uploads)
    }
}
