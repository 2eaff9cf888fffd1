//! Media types: what a picture is declared to be, against what it is.

use crate::preprocess::Format;

/// Bytes of any kind.
pub(super) const BINARY: &str = "application/octet-stream";
/// What curl declares a body to be if it is told nothing.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// `type/subtype` in lower case, without parameters.
pub(super) fn essence(media_type: &str) -> String {
    let end = media_type.find(';').unwrap_or(media_type.len());
    media_type[..end].trim().to_ascii_lowercase()
}

/// Whether `declared` claims that the picture is something that it is not.
pub(super) fn contradicts(declared: Option<&str>, format: Format) -> bool {
    let Some(declared) = declared.map(essence) else {
        return false;
    };
    let says_nothing = matches!(declared.as_str(), "" | BINARY | FORM | "image/*" | "*/*");
    !says_nothing && !names(format).contains(&declared.as_str())
}

/// What a format is called, registered or not.
fn names(format: Format) -> &'static [&'static str] {
    match format {
        Format::Jpeg => &["image/jpeg", "image/jpg", "image/pjpeg"],
        Format::Png => &["image/png", "image/apng", "image/x-png", "image/vnd.mozilla.apng"],
        Format::Gif => &["image/gif"],
        Format::WebP => &["image/webp"],
        Format::Bmp => &["image/bmp", "image/x-bmp", "image/x-ms-bmp"],
        Format::Tiff => &["image/tiff", "image/tiff-fx"],
        Format::Pnm => &[
            "image/x-portable-anymap",
            "image/x-portable-bitmap",
            "image/x-portable-graymap",
            "image/x-portable-pixmap",
        ],
        Format::Qoi => &["image/qoi", "image/x-qoi"],
    }
}
