//! TorchServe's inference interface.

use serde_json::json;

use super::*;
use crate::support::png;

#[track_caller]
fn exception(answer: &Answer, status: u16, kind: &str) -> String {
    assert_eq!(answer.status.as_u16(), status);
    let body = answer.json();
    assert_eq!(body["code"], status);
    assert_eq!(body["type"], kind, "{body}");
    body["message"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn ping_follows_readiness() {
    let rig = rig();
    assert_eq!(rig.get("/ping").await.ok(), json!({"status": "Healthy"}));
    rig.service.drain();
    let answer = rig.get("/ping").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json(), json!({"status": "Unhealthy"}));
}

#[tokio::test]
async fn a_picture_is_posted_put_or_a_form() {
    let rig = rig();
    let expected = r#"{"white":0.7,"black":0.1,"dark":0.1,"light":0.1}"#;
    let form = form(&[("data", Some("a.png"), None, &png(255))]);
    let put = request("PUT", "/predictions/first", None, png(255));
    for answer in [
        rig.post("/predictions/first", "application/octet-stream", png(255)).await,
        rig.post("/predictions/first/1", "image/png", png(255)).await,
        rig.post("/predictions/first", FORM, form).await,
        rig.send(put).await,
    ] {
        answer.ok();
        assert_eq!(String::from_utf8_lossy(&answer.body), expected, "best first");
    }
    assert_eq!(rig.records.last().work.model.as_deref(), Some("first"));
}

#[tokio::test]
async fn errors_are_exceptions() {
    let rig = rig();
    let post = async |uri, body: Vec<u8>| rig.post(uri, "image/png", body).await;
    let unknown = post("/predictions/other", png(0)).await;
    assert!(exception(&unknown, 404, "ModelNotFoundException").contains("\"other\""));
    let version = post("/predictions/first/2", png(0)).await;
    assert!(exception(&version, 404, "ModelNotFoundException").contains("\"2\""));
    exception(&post("/predictions/first", vec![]).await, 400, "BadRequestException");
    exception(&post("/predictions/first", b"text".to_vec()).await, 415, "BadRequestException");
    let get = rig.get("/predictions/first").await;
    exception(&get, 405, "MethodNotAllowedException");
    rig.service.drain();
    let draining = post("/predictions/first", png(0)).await;
    exception(&draining, 503, "ServiceUnavailableException");
}
