//! Pictures in JSON, as base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use utoipa::ToSchema;

use super::upload::{Shape, Upload, UploadError};
use super::v2::First;

/// Padding may be left out, as many encoders do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// More pictures than these are not even kept to be counted.
const MOST: usize = 1 << 16;

/// A PNG of 12 × 12 pixels, of a 1.
const EXAMPLE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAwAAAAMCAAAAABzHgM7AAAAFUlEQVR42mP4jwQYMDkiIvThYHMB\
    AD1lgMEiANfMAAAAAElFTkSuQmCC";

/// One picture in JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OneImage<'a> {
    /// Base64 of the picture's file, or a `data:` URL of it. White space is ignored.
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64", examples(json!(EXAMPLE)))]
    image: Option<Cow<'a, str>>,
}

/// Several pictures in JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManyImages<'a> {
    /// Each as for one picture.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, examples(json!([EXAMPLE])))]
    images: Option<First<Cow<'a, str>, MOST>>,
}

pub(super) fn parse(body: &[u8], shape: Shape) -> Result<Vec<Upload>, UploadError> {
    let Shape::Many(limit) = shape else {
        let OneImage { image } = from_json(body)?;
        let image = image.ok_or_else(|| missing("image"))?;
        return Ok(vec![upload("image".to_owned(), &image)]);
    };
    let ManyImages { images } = from_json(body)?;
    let images = images.ok_or_else(|| missing("images"))?;
    let limit = limit.min(MOST);
    if images.count > limit {
        return Err(UploadError::TooManyImages { limit });
    }
    let named = images.elements.iter().enumerate();
    Ok(named.map(|(index, text)| upload(format!("images[{index}]"), text)).collect())
}

fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, UploadError> {
    serde_json::from_slice(body).map_err(|error| UploadError::Json(error.to_string()))
}

fn missing(field: &str) -> UploadError {
    UploadError::MissingImage(format!("the JSON has no {field:?}"))
}

fn upload(name: String, text: &str) -> Upload {
    match picture(text) {
        Ok((declared, bytes)) => Upload { name, declared, bytes: Ok(bytes.into()) },
        Err(reason) => {
            let error = UploadError::Base64 { place: name.clone(), reason };
            Upload { name, declared: None, bytes: Err(error) }
        }
    }
}

/// The bytes of base64 or of a `data:` URL, with the media type of the latter; or what is wrong.
pub(super) fn picture(text: &str) -> Result<(Option<String>, Vec<u8>), String> {
    let (declared, data) = split_data_url(text)?;
    let data = if data.bytes().any(|byte| byte.is_ascii_whitespace()) {
        Cow::Owned(data.split_ascii_whitespace().collect())
    } else {
        Cow::Borrowed(data)
    };
    let bytes = BASE64.decode(data.as_bytes()).map_err(|error| error.to_string())?;
    Ok((declared, bytes))
}

/// The media type and the data of `data:<type>;base64,<data>` (RFC 2397); all else is data.
fn split_data_url(text: &str) -> Result<(Option<String>, &str), String> {
    let scheme = text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if scheme.is_none() {
        return Ok((None, text));
    }
    let (head, data) = text[5..].split_once(',').ok_or("a data: URL without a comma")?;
    let kind = head.strip_suffix(";base64").ok_or("a data: URL that is not base64")?;
    let declared = (!kind.is_empty()).then(|| kind.to_owned());
    Ok((declared, data))
}
