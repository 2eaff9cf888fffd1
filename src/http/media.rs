//! Media types: what a picture is declared to be, against what it is.

use axum::http::{HeaderMap, header};

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

/// Whether `Accept` (RFC 9110, section 12.5.1) wants a PNG more than JSON. If both are wanted
/// alike, the one named more exactly wins, else JSON.
pub(super) fn prefers_png(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT);
    let accept: Vec<&str> = accept.iter().filter_map(|value| value.to_str().ok()).collect();
    let wish = |ranges: [&str; 3]| {
        let listed = accept.iter().flat_map(|value| value.split(','));
        let matching = listed.filter_map(|range| {
            let exactness = ranges.iter().rev().position(|name| *name == essence(range))?;
            Some((exactness, quality(range)))
        });
        // The most exact range that matches says how much.
        matching.max_by_key(|(exactness, _)| *exactness).unwrap_or((0, 0.0))
    };
    let (png, png_quality) = wish(["image/png", "image/*", "*/*"]);
    let (json, json_quality) = wish(["application/json", "application/*", "*/*"]);
    png_quality > json_quality || (png_quality == json_quality && png > json)
}

/// The `q` of a media range, 1 without it.
fn quality(range: &str) -> f32 {
    let parameters = range.split(';').skip(1).map(str::trim);
    let q = parameters.filter_map(|parameter| parameter.strip_prefix("q=")).next();
    q.and_then(|q| q.parse().ok()).unwrap_or(1.0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn png_is_sent_to_those_who_prefer_it() {
        let prefers = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            prefers_png(&headers)
        };
        for accept in [
            "image/png",
            "IMAGE/PNG",
            "image/*",
            "image/avif,image/webp,image/png,*/*;q=0.8",
            "application/json;q=0.5, image/png;q=0.9",
            "image/png, */*",
        ] {
            assert!(prefers(accept), "{accept}");
        }
        for accept in [
            "*/*",
            "application/json",
            "application/json, image/png",
            "image/png;q=0.1, application/json",
            "image/png;q=0, */*",
            "text/html",
            "",
        ] {
            assert!(!prefers(accept), "{accept}");
        }
        assert!(!prefers_png(&HeaderMap::new()));
    }
}
