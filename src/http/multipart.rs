//! Pictures as parts of `multipart/form-data` (RFC 7578).

use axum::body::Body;
use futures_util::FutureExt;
use multer::{Field, Multipart};

use super::media;
use super::upload::{Shape, Upload, UploadError};

/// The file parts of a whole body, in their order; other parts are passed over.
pub(super) fn parse(
    body: Vec<u8>,
    boundary: &str,
    shape: Shape,
) -> Result<Vec<Upload>, UploadError> {
    let parts = Multipart::new(Body::from(body).into_data_stream(), boundary);
    // All of the body is there, so there is nothing to wait for.
    let files = files(parts, shape.limit()).now_or_never();
    files.unwrap_or_else(|| Err(UploadError::Multipart("the multipart body broke off".to_owned())))
}

async fn files(mut parts: Multipart<'_>, limit: usize) -> Result<Vec<Upload>, UploadError> {
    let broken = |error: multer::Error| UploadError::Multipart(error.to_string());
    let mut files = Vec::new();
    let mut others = 0;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        if !is_file(&part) {
            others += 1;
            continue;
        }
        if files.len() == limit {
            return Err(UploadError::TooManyImages { limit });
        }
        let name = part.file_name().filter(|name| !name.is_empty()).or(part.name());
        let name = name.unwrap_or("file").to_owned();
        let declared = part.content_type().map(ToString::to_string);
        let bytes = Ok(part.bytes().await.map_err(broken)?);
        files.push(Upload { name, declared, bytes });
    }
    if files.is_empty() {
        return Err(UploadError::MissingImage(format!(
            "none of the {others} parts is a file; a file part has a filename"
        )));
    }
    Ok(files)
}

/// A part with a file name, or at least with the media type of one.
fn is_file(part: &Field<'_>) -> bool {
    let kind = part.content_type().map(|kind| media::essence(kind.as_ref()));
    part.file_name().is_some()
        || kind.is_some_and(|kind| kind.starts_with("image/") || kind == media::BINARY)
}
