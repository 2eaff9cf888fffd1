//! Request ids, records, headers of every answer.

use super::*;
use crate::support::{Mood, png};

async fn with_id(rig: &Rig, id: &[u8]) -> String {
    let request = Request::get("/health/live").header("x-request-id", id);
    let answer = rig.send(request.body(Body::empty()).expect("a legal request")).await;
    answer.header("x-request-id").to_owned()
}

#[tokio::test]
async fn a_sane_request_id_is_echoed() {
    let rig = rig();
    let longest = "a".repeat(128);
    for id in ["x", "Az09._-", &longest] {
        assert_eq!(with_id(&rig, id.as_bytes()).await, *id);
        assert_eq!(rig.records.last().request_id, *id);
    }
}

#[tokio::test]
async fn any_other_is_replaced_by_a_uuid() {
    let rig = rig();
    let too_long = "a".repeat(129);
    let mut seen = Vec::new();
    for id in ["", "with space", "quote\"", "\u{e9}", &too_long] {
        let id = with_id(&rig, id.as_bytes()).await;
        assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(), 7);
        seen.push(id);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn every_answer_has_an_id_and_is_not_to_be_sniffed() {
    let rig = rig();
    for uri in ["/health", "/nowhere", "/classify", "/models/none", "/panic", "/openapi.json"] {
        let answer = rig.get(uri).await;
        assert!(!answer.header("x-request-id").is_empty(), "{uri}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{uri}");
    }
}

#[tokio::test]
async fn a_record_tells_what_was_done() {
    let rig = rig();
    rig.send(classify(png(0))).await.ok();
    let record = rig.records.last();
    assert_eq!((record.method, record.status, record.code), ("POST", 200, None));
    assert_eq!(record.route.as_deref(), Some("/classify"));
    assert_eq!((record.work.pictures, record.work.batch_size), (1, Some(1)));
    let timings = record.work.timings.expect("timings");
    assert!(timings.decode > Duration::ZERO && timings.decode <= record.duration);

    rig.get("/models/none").await;
    let record = rig.records.last();
    assert_eq!(record.route.as_deref(), Some("/models/{name}"));
    assert_eq!(record.code.map(nin_serve::http::Code::as_str), Some("unknown-model"));

    rig.send(request("BREW", "/classify", None, Body::empty())).await;
    assert_eq!(rig.records.last().method, "OTHER");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_record_and_nothing_else() {
    let rig = rig();
    rig.first.engine.set(Mood::Hold);
    let running = rig.start(classify(png(0)));
    rig.until(|rig| rig.first.engine.samples() == 1).await;
    let waiting = rig.start(classify(png(0)));
    let depth = |rig: &Rig| {
        let models = rig.service.models().current();
        models.get(None).expect("the default").batcher.stats().depth
    };
    rig.until(|rig| depth(rig) == 1).await;
    waiting.abort();
    rig.until(|rig| depth(rig) == 0).await;
    let record = rig.records.last();
    assert_eq!((record.status, record.code), (nin_serve::http::CLIENT_CLOSED, None));
    assert_eq!(record.work.model.as_deref(), Some("first"));
    rig.first.engine.let_go();
    assert_eq!(running.await.expect("no panic"), 200);
    rig.until(|rig| rig.service.in_flight() == 0).await;
    assert_eq!(rig.service.budget().in_flight(), 0);
    assert_eq!(rig.first.engine.samples(), 1);
}
