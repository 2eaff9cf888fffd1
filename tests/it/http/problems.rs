//! Every way to fail, with its status and code.

use axum::body::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use super::*;
use crate::support::{Mood, png};

const PNG: &str = "image/png";
const JSON: &str = "application/json";

#[tokio::test]
async fn bad_requests_are_named() {
    let rig = rig();
    let json_of = |value: Value| value.to_string().into_bytes();
    let picture = png(0);
    let two = form(&[("a", Some("a"), None, &picture), ("b", Some("b"), None, &picture)]);
    let cut = form(&[("a", Some("a.png"), None, &picture)]);
    let cut = cut[..cut.len() - 20].to_vec();
    for (kind, body, code) in [
        (PNG, vec![], "empty-body"),
        (JSON, vec![], "empty-body"),
        (FORM, vec![], "empty-body"),
        (JSON, json_of(json!({})), "missing-image"),
        (JSON, json_of(json!({"image": null})), "missing-image"),
        (JSON, json_of(json!({"image": ""})), "missing-image"),
        (FORM, form(&[]), "missing-image"),
        (FORM, form(&[("note", None, None, b"text")]), "missing-image"),
        (FORM, form(&[("file", Some(""), None, b"")]), "missing-image"),
        (FORM, two, "too-many-images"),
        (JSON, json_of(json!({"image": "a?b"})), "invalid-base64"),
        (JSON, json_of(json!({"image": "data:image/png,x"})), "invalid-base64"),
        (JSON, json_of(json!({"image": "data:image/png"})), "invalid-base64"),
        (JSON, b"{".to_vec(), "invalid-json"),
        (JSON, b"\xff\xfe".to_vec(), "invalid-json"),
        (JSON, json_of(json!([1])), "invalid-json"),
        (JSON, json_of(json!({"image": 7})), "invalid-json"),
        (JSON, json_of(json!({"image": "", "top_k": 3})), "invalid-json"),
        ("multipart/form-data", b"x".to_vec(), "invalid-multipart"),
        (FORM, b"no boundary in here".to_vec(), "invalid-multipart"),
        (FORM, cut, "invalid-multipart"),
    ] {
        let body_text = String::from_utf8_lossy(&body).into_owned();
        let answer = rig.post("/classify", kind, body).await;
        let problem = answer.problem(400, code);
        assert_eq!(problem["instance"], "/classify", "{body_text}");
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let rig = rig();
    for (query, name) in [
        ("top_k=0", "top_k"),
        ("top_k=-1", "top_k"),
        ("top_k=many", "top_k"),
        ("timeout_ms=0", "timeout_ms"),
        ("timeout_ms=1.5", "timeout_ms"),
        ("topk=3", "topk"),
        ("top_k=1&top_k=2", "top_k"),
    ] {
        let answer = rig.post(&format!("/classify?{query}"), PNG, png(0)).await;
        let detail = answer.problem(400, "invalid-parameter")["detail"].clone();
        assert!(detail.as_str().is_some_and(|text| text.contains(name)), "{query}: {detail}");
    }
}

#[tokio::test]
async fn unknown_names_are_not_found() {
    let rig = rig();
    let answer = rig.post("/classify?model=third", PNG, png(0)).await;
    let detail = answer.problem(404, "unknown-model")["detail"].clone();
    assert!(detail.as_str().is_some_and(|text| text.contains("third") && text.contains("second")));
    rig.get("/models/third").await.problem(404, "unknown-model");
    rig.get("/models/%ff").await.problem(404, "not-found");
    let problem = rig.get("/no/such?route=1").await.problem(404, "not-found");
    assert_eq!(problem["instance"], "/no/such");
    assert_eq!(rig.records.last().route, None);
}

#[tokio::test]
async fn a_wrong_method_hears_which_are_allowed() {
    let rig = rig();
    let answer = rig.get("/classify").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "POST");
    let answer = rig.post("/health/live", PNG, vec![]).await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    assert_eq!(rig.records.last().route.as_deref(), Some("/health/live"));
}

#[tokio::test]
async fn pictures_that_are_none_are_told_apart() {
    let rig = rig();
    let picture = png(0);
    for junk in [&b"twenty bytes of text"[..], &[0; 20], b"<html></html>", b"\x89PNG"] {
        let answer = rig.post("/classify", PNG, junk.to_vec()).await;
        answer.problem(415, "unsupported-image");
    }
    let half = picture[..picture.len() / 2].to_vec();
    rig.post("/classify", PNG, half).await.problem(422, "corrupt-image");
    assert_eq!(rig.first.engine.samples(), 0);
}

#[tokio::test]
async fn a_huge_picture_is_refused_by_its_header() {
    let mut picture = png(0);
    picture[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let crc = crc32(&picture[12..29]);
    picture[29..33].copy_from_slice(&crc.to_be_bytes());
    let problem = rig().post("/classify", PNG, picture).await.problem(413, "image-too-large");
    let detail = problem["detail"].as_str().expect("text");
    assert!(detail.contains("50000"), "{detail}");
}

#[tokio::test]
async fn a_picture_beyond_the_memory_is_too_large_for_good() {
    let mut setup = Setup::default();
    setup.service.memory_budget = 20 << 10;
    setup.service.max_pixels = u64::MAX;
    let rig = setup.rig();
    let large = image::DynamicImage::new_rgb8(400, 400);
    let file = crate::support::encoded(&large, image::ImageFormat::Png);
    rig.post("/classify", PNG, file).await.problem(413, "image-too-large");
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let rig = rig();
    let limit = usize::try_from(Setup::default().http.max_body).expect("small");
    let body = vec![b'x'; limit + 1];
    rig.post("/classify", PNG, body.clone()).await.problem(413, "body-too-large");
    let chunks: Vec<_> = body.chunks(1000).map(Bytes::copy_from_slice).collect();
    let stream = futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
    let chunked = Body::from_stream(stream);
    rig.post("/classify", PNG, chunked).await.problem(413, "body-too-large");
    // At the limit, only the content counts.
    rig.post("/classify", PNG, body[1..].to_vec()).await.problem(415, "unsupported-image");
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_times_out() {
    let rig = rig();
    let start = tokio::time::Instant::now();
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    rig.post("/classify", PNG, never).await.problem(408, "request-timeout");
    assert_eq!(start.elapsed(), Setup::default().http.body_timeout);
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let start = tokio::time::Instant::now();
    rig.post("/classify?timeout_ms=70", PNG, never).await.problem(408, "request-timeout");
    assert_eq!(start.elapsed(), Duration::from_millis(70));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_incomplete() {
    let broken = std::io::Error::other("reset");
    let stream = futures_util::stream::iter([Ok(Bytes::from_static(b"\x89PNG")), Err(broken)]);
    let answer = rig().post("/classify", PNG, Body::from_stream(stream)).await;
    answer.problem(400, "incomplete-body");
}

#[tokio::test]
async fn a_failing_engine_reveals_nothing() {
    let rig = rig();
    for mood in [Mood::Fail, Mood::NotFinite] {
        rig.first.engine.set(mood);
        rig.send(classify(png(0))).await.problem(500, "inference-failed");
    }
    rig.first.engine.set(Mood::Answer);
    rig.send(classify(png(0))).await.ok();
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    rig().get("/panic").await.problem(500, "internal-error");
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_gateway_timeout() {
    let rig = rig();
    rig.first.engine.set(Mood::Hold);
    let answer = rig.post("/classify?timeout_ms=50", PNG, png(0)).await;
    answer.problem(504, "deadline-exceeded");
}

#[tokio::test]
async fn a_full_queue_sends_clients_away_for_a_while() {
    let rig = Setup { queue_capacity: 1, ..Setup::default() }.rig();
    rig.first.engine.set(Mood::Hold);
    let running = rig.start(classify(png(0)));
    rig.until(|rig| rig.first.engine.samples() == 1).await;
    let waiting = rig.start(classify(png(0)));
    let stats = |rig: &Rig| {
        let models = rig.service.models().current();
        models.get(None).expect("the default").batcher.stats()
    };
    rig.until(|rig| stats(rig).depth == 1).await;
    let answer = rig.send(classify(png(0))).await;
    answer.problem(503, "overloaded");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    rig.first.engine.let_go();
    rig.first.engine.let_go();
    assert_eq!(running.await.expect("no panic"), 200);
    assert_eq!(waiting.await.expect("no panic"), 200);
}

#[tokio::test]
async fn uploads_are_charged_to_the_memory_budget() {
    let mut setup = Setup::default();
    setup.service.memory_budget = 100 << 10;
    let rig = setup.rig();
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; 60_000]))]);
    let open = Body::from_stream(first.chain(futures_util::stream::pending()));
    let slow = rig.start(request("POST", "/classify", Some(PNG), open));
    rig.until(|rig| rig.service.budget().in_flight() >= 60_000).await;
    let answer = rig.post("/classify", PNG, vec![0; 60_000]).await;
    answer.problem(503, "overloaded");
    assert!(answer.headers.contains_key("retry-after"));
    slow.abort();
    rig.until(|rig| rig.service.budget().in_flight() == 0).await;
    // One that never fits is another matter.
    rig.post("/classify", PNG, vec![0; 110_000]).await.problem(413, "body-too-large");
}

/// As PNG uses it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}
