//! Readiness and shutdown as HTTP shows them.

use std::time::Instant;

use nin_serve::engine::Health;
use serde_json::json;

use super::*;
use crate::support::{Mood, png};

#[tokio::test]
async fn health_tells_the_state() {
    let rig = rig();
    rig.send(classify(png(0))).await.ok();
    let answer = rig.get("/health").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let health = answer.ok();
    assert_eq!(health["status"], "ready");
    assert_eq!(health["reasons"], json!([]));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_seconds"].is_u64());
    let idle = json!({"waiting": 0, "running": 0});
    assert_eq!(health["models"][0], json!({"name": "first", "ready": true, "queue": idle}));
    assert_eq!(health["models"][1]["name"], "second");
    assert_eq!(health["queue"]["waiting"], 0);
    assert_eq!(health["queue"]["memory_bytes"], 0);
    assert_eq!(health["queue"]["memory_budget_bytes"], 64 << 20);
    assert_eq!(rig.get("/health/live").await.ok(), json!({"status": "live"}));
    assert_eq!(rig.get("/health/ready").await.ok(), json!({"status": "ready", "reasons": []}));
}

#[tokio::test]
async fn a_broken_engine_drops_readiness_and_says_why() {
    let rig = rig();
    let rebuilding =
        Health::Rebuilding { since: Instant::now(), cause: "secret".to_owned(), failed: 0 };
    for (state, word) in [(rebuilding, "rebuilt"), (Health::Dead, "ended")] {
        rig.first.health.send_replace(state);
        let answer = rig.get("/health/ready").await;
        assert_eq!(answer.status, 503);
        let answer = answer.json();
        assert_eq!(answer["status"], "unready");
        let reason = answer["reasons"][0].as_str().expect("a reason");
        assert!(reason.contains("first") && reason.contains(word), "{reason}");
        assert!(!reason.contains("secret"));
        let health = rig.get("/health").await;
        assert_eq!(health.status, 503);
        assert_eq!(health.json()["models"][0]["ready"], false);
        assert_eq!(rig.get("/health/live").await.status, 200);
    }
    rig.first.health.send_replace(Health::Ready);
    assert_eq!(rig.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn draining_finishes_what_was_accepted_and_refuses_the_rest() {
    let rig = rig();
    rig.first.engine.set(Mood::Hold);
    let accepted = rig.start(classify(png(0)));
    rig.until(|rig| rig.first.engine.samples() == 1).await;
    let service = Arc::clone(&rig.service);
    let shutdown = tokio::spawn(async move { service.shutdown().await });
    rig.until(|rig| !rig.service.unready().is_empty()).await;

    rig.send(classify(png(0))).await.problem(503, "shutting-down");
    let ready = rig.get("/health/ready").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["reasons"][0]),
        (503, &json!("shutting down"))
    );
    assert_eq!(rig.get("/health/live").await.status, 200);
    assert!(!shutdown.is_finished());

    rig.first.engine.let_go();
    assert_eq!(accepted.await.expect("no panic"), 200);
    shutdown.await.expect("no panic");
    assert_eq!(rig.service.in_flight(), 0);
}
