use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use image::{GrayImage, ImageFormat};
use serde_json::Value;

use super::{COLOUR, INK, MODELS, Siege, crafted, outcome};
use crate::lifecycle::process::{png, read_all, status};
use crate::preprocess::{picture, pictures};

#[tokio::test]
async fn pictures_cut_at_every_tenth_are_told_apart() {
    let siege = Siege::begin(&[]);
    for (name, bytes) in pictures() {
        for tenth in 0..10 {
            let part = bytes[..bytes.len() * tenth / 10].to_vec();
            let found = siege.outcome(MODELS[tenth % 2], part).await;
            let expected: &[(u16, &str)] = match tenth {
                0 => &[(400, "empty-body")],
                // Too little may be left to tell what it was; all that counts may be there.
                _ => &[(422, "corrupt-image"), (415, "unsupported-image"), (200, "")],
            };
            let (code, text) = (found.0, found.1.as_str());
            assert!(expected.contains(&(code, text)), "{name}, {tenth} tenths: {found:?}");
        }
    }
    siege.assert_alive().await;
}

#[tokio::test]
async fn every_kind_of_picture_is_answered() {
    let siege = Siege::begin(&[]);
    for (name, bytes) in pictures() {
        for model in MODELS {
            let found = siege.outcome(model, bytes.clone()).await;
            assert_eq!(found, (200, String::new()), "{name}");
        }
    }
    for animation in [crafted::long_gif(3000), picture("animated.webp")] {
        let answer = siege.post(COLOUR, None, animation).await;
        let answer: Value =
            serde_json::from_slice(&answer.bytes().await.expect("an answer")).expect("JSON");
        let warnings = answer["warnings"].as_array().expect("warnings");
        assert!(warnings.contains(&"first-frame-only".into()), "{answer}");
    }
    siege.assert_alive().await;
}

#[tokio::test]
async fn what_is_no_picture_is_refused_whatever_it_is_called() {
    let siege = Siege::begin(&[]);
    let html = b"<!DOCTYPE html><script>alert(1)</script>".to_vec();
    let hidden = [&html[..], &png(40)].concat();
    for content in [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec(),
        b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>".to_vec(),
        html,
        hidden,
        b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec(),
        b"PK\x03\x04\x14\0\0\0\0\0".to_vec(),
        b"MZ\x90\0\x03\0\0\0".to_vec(),
        b"http://169.254.169.254/latest/meta-data/".to_vec(),
        b"../../../../etc/passwd".to_vec(),
        b"push graphic-context\nimage over 0,0 0,0 'https://example.org'".to_vec(),
    ] {
        for kind in [None, Some("image/png"), Some("image/svg+xml"), Some("text/html")] {
            let found = outcome(siege.post(COLOUR, kind, content.clone()).await).await;
            assert_eq!(found, (415, "unsupported-image".to_owned()), "{kind:?} {content:?}");
        }
    }
    // A picture with something behind it is a picture; the answer is never the something.
    for (name, tail) in [("baseline.jpg", &b"PK\x03\x04"[..]), ("rgb.png", b"<script>")] {
        let polyglot = [&picture(name), tail].concat();
        let answer = siege.post(COLOUR, Some("text/html"), polyglot).await;
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(outcome(answer).await.0, 200, "{name}");
    }
    siege.assert_alive().await;
}

#[tokio::test]
async fn a_wrong_content_type_is_at_most_a_warning() {
    let siege = Siege::begin(&[]);
    for kind in [None, Some("image/gif"), Some("text/html"), Some("///"), Some("image/png; =;")] {
        let found = outcome(siege.post(COLOUR, kind, png(40)).await).await;
        assert_eq!(found, (200, String::new()), "{kind:?}");
    }
    for (kind, code) in [
        ("application/json", "invalid-json"),
        ("multipart/form-data", "invalid-multipart"),
        ("multipart/form-data; boundary=\"", "invalid-multipart"),
        ("multipart/form-data; boundary=x", "invalid-multipart"),
    ] {
        let found = outcome(siege.post(COLOUR, Some(kind), png(40)).await).await;
        assert_eq!(found, (400, code.to_owned()), "{kind}");
    }
    siege.assert_alive().await;
}

#[tokio::test]
async fn heads_that_are_too_large_or_none_are_refused() {
    let siege = Siege::begin(&[]);
    let process = &siege.process;
    let (long, close) = ("x".repeat(200_000), "Connection: close\r\n");
    let many: String = (0..2000).map(|number| format!("X-{number}: 1\r\n")).collect();
    for (head, expected) in [
        (format!("GET /{} HTTP/1.1\r\nHost: t\r\n{close}\r\n", &long[..20_000]), "414"),
        (format!("GET /health?{} HTTP/1.1\r\nHost: t\r\n{close}\r\n", &long[..60_000]), "414"),
        (format!("GET /health HTTP/1.1\r\nHost: t\r\nX: {long}\r\n\r\n"), "431"),
        (format!("GET /health HTTP/1.1\r\nHost: t\r\n{many}\r\n"), "431"),
        ("GET /health HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n".to_owned(), "400"),
        ("GET /health HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        (
            "GET /../../etc/passwd HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".to_owned(),
            "404",
        ),
        (
            "GET /models/..%2f..%2fetc HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".into(),
            "404",
        ),
    ] {
        let mut stream = process.connect();
        // It may be cut before all is sent.
        let _ = stream.write_all(head.as_bytes());
        let answer = read_all(&mut stream);
        assert_eq!(status(&answer), expected, "{}…: {answer}", &head[..head.len().min(60)]);
    }
    // Two lengths: what a proxy and we could read differently.
    let smuggled = "POST /classify HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\
                    Content-Length: 6\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n";
    let answer = process.exchange(smuggled);
    assert_eq!(status(&answer), "400", "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    siege.assert_alive().await;
}

#[tokio::test]
async fn thousands_of_scans_cost_no_time() {
    let siege = Siege::begin(&[]);
    let jpeg = crafted::many_scans(&picture("progressive.jpg"), 20_000);
    let started = Instant::now();
    for model in MODELS {
        let found = siege.outcome(model, jpeg.clone()).await;
        assert_eq!(found, (422, "corrupt-image".to_owned()));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    siege.assert_alive().await;
}

/// Lines of pixels, blank, half inked and of noise, for the model that looks for ink, too.
#[tokio::test]
async fn pictures_of_one_line_are_answered() {
    let siege = Siege::begin(&[]);
    const LONG: u32 = 65_535;
    let patterns: [fn(u32) -> u8; 4] = [
        |_| 255,
        |at| if at < LONG / 2 { 0 } else { 255 },
        |at| (at * at % 251) as u8,
        |at| {
            if at == LONG / 2 { 0 } else { 255 }
        },
    ];
    for pattern in patterns {
        for (width, height) in [(LONG, 1), (1, LONG), (LONG, 2), (3, LONG)] {
            let line = GrayImage::from_fn(width, height, |x, y| image::Luma([pattern(x.max(y))]));
            for format in [ImageFormat::Png, ImageFormat::Jpeg] {
                let mut file = Cursor::new(Vec::new());
                line.write_to(&mut file, format).expect("it can be encoded");
                for model in [COLOUR, INK] {
                    let found = siege.outcome(model, file.get_ref().clone()).await;
                    assert_eq!(found, (200, String::new()), "{width}×{height} {format:?} {model}");
                }
            }
        }
    }
    siege.assert_alive().await;
}
