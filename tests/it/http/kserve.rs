//! KServe's first protocol.

use nin_serve::engine::Health;
use serde_json::json;

use super::*;
use crate::support::png;

const PREDICT: &str = "/v1/models/first:predict";

async fn predict(rig: &Rig, instances: Value) -> Answer {
    let body = json!({"signature_name": "any", "instances": instances});
    rig.post(PREDICT, "application/json", body.to_string()).await
}

#[tokio::test]
async fn instances_of_every_form_are_answered_in_their_order() {
    let rig = rig();
    let (dark, light) = (base64(&png(0)), base64(&png(255)));
    let instances = json!([
        {"b64": light},
        {"image": {"b64": dark}},
        {"data": light},
        {"image_bytes": {"b64": dark}},
    ]);
    let answer = predict(&rig, instances).await.ok();
    let predictions = answer["predictions"].as_array().expect("predictions");
    let labels: Vec<_> = predictions.iter().map(|p| p["label"].as_str()).collect();
    assert_eq!(labels, ["white", "black", "white", "black"].map(Some));
    assert_eq!(predictions[0]["index"], 3);
    assert_eq!(predictions[0]["probability"], 0.7);
    assert_eq!(predictions[0]["probabilities"], json!([0.1, 0.1, 0.1, 0.7]));
    assert_eq!(rig.records.last().work.pictures, 4);
}

#[tokio::test]
async fn models_and_their_readiness() {
    let rig = rig();
    assert_eq!(rig.get("/v1/models").await.ok(), json!({"models": ["first", "second"]}));
    assert_eq!(rig.get("/v1/models/first").await.ok(), json!({"name": "first", "ready": true}));
    assert!(rig.get("/v1/models/other").await.error(404).contains("\"other\""));
    rig.first.health.send_replace(Health::Dead);
    rig.get("/v1/models/first").await.error(503);
}

#[tokio::test]
async fn errors() {
    let rig = rig();
    let picture = base64(&png(0));
    for (instances, status, part) in [
        (json!([]), 400, "no instances"),
        (json!([{"b64": picture}, {"b64": "!!"}]), 400, "instances[1]"),
        (json!(vec![json!({"b64": "AA=="}); 5]), 400, "at most 4"),
        (json!(vec![json!({"b64": "AA=="}); 10_000]), 400, "at most 4"),
        (json!([{"b64": picture, "data": picture}]), 400, "line 1"),
        (json!([{"text": picture}]), 400, "unknown variant `text`"),
        (json!([[0.5, 0.5]]), 400, "line 1"),
        (json!([{"b64": picture}, {"b64": "dGV4dA=="}]), 415, "picture 1"),
    ] {
        let error = predict(&rig, instances).await.error(status);
        assert!(error.contains(part), "{error}");
    }
    let json = "application/json";
    assert!(rig.post(PREDICT, json, "{}").await.error(400).contains("\"instances\""));
    rig.post(PREDICT, json, "").await.error(400);
    rig.post("/v1/models/other:predict", json, "{}").await.error(404);
    rig.post("/v1/models/first:explain", json, "{}").await.error(404);
    rig.post("/v1/models/first", json, "{}").await.error(404);
    rig.get("/v1/nothing").await.error(404);
}
