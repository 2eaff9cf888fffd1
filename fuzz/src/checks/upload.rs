use nin_serve::http::{Shape, Upload, uploads};

const MOST: usize = 4;

/// The first line is the content type, without one there is none; what comes after it is a body.
/// No body gives more pictures than may be in it, nor more bytes than it has.
pub fn upload(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (first_line, body) = end.map_or((&[][..], bytes), |end| (&bytes[..end], &bytes[end + 1..]));
    let content_type = std::str::from_utf8(first_line).ok().filter(|line| !line.is_empty());
    for (shape, most) in [(Shape::One, 1), (Shape::Many(MOST), MOST)] {
        match uploads(content_type, body.to_vec(), shape) {
            Ok(uploads) => {
                assert!((1..=most).contains(&uploads.len()), "{uploads:?}");
                let size = |upload: &Upload| upload.bytes.as_ref().map_or(0, |bytes| bytes.len());
                let total: usize = uploads.iter().map(size).sum();
                assert!(total <= body.len(), "{total} bytes out of {}", body.len());
                let sent = |upload: &Upload| upload.bytes.as_ref().is_ok_and(|b| b.is_empty());
                assert!(!uploads.iter().any(sent), "an empty picture: {uploads:?}");
            }
            Err(error) => {
                // The answer quotes it.
                let text = error.to_string();
                assert!(text.len() <= 1000 + 2 * bytes.len(), "{text}");
            }
        }
    }
}
