//! Several pictures in one request.

use serde_json::json;

use super::*;
use crate::support::png;

#[tokio::test]
async fn a_bad_picture_never_spoils_its_neighbours() {
    let rig = rig();
    let (dark, light) = (png(0), png(255));
    let body = form(&[
        ("file", Some("dark.png"), None, &dark),
        ("file", Some("bad.png"), None, b"no picture at all"),
        ("text", None, None, b"passed over"),
        ("nameless", None, Some("image/jpeg"), &light),
    ]);
    let answer = rig.post("/classify/batch?top_k=1", FORM, body).await;
    let request_id = answer.header("x-request-id").to_owned();
    let answer = answer.ok();
    assert_eq!(answer["model"], "first");
    let results = answer["results"].as_array().expect("an array");
    let heads: Vec<_> =
        results.iter().map(|r| (r["name"].as_str(), r["status"].as_u64())).collect();
    assert_eq!(
        heads,
        [
            (Some("dark.png"), Some(200)),
            (Some("bad.png"), Some(415)),
            (Some("nameless"), Some(200)),
        ]
    );
    assert_eq!(results[0]["predictions"][0]["label"], "black");
    assert_eq!(results[0]["predictions"].as_array().map(Vec::len), Some(1));
    assert_eq!(results[0]["image"]["format"], "png");
    assert_eq!(results[1]["error"]["code"], "unsupported-image");
    assert_eq!(results[1]["error"]["request_id"], request_id);
    assert!(results[1].get("predictions").is_none());
    assert_eq!(results[2]["predictions"][0]["label"], "white");
    assert_eq!(results[2]["warnings"], json!(["content-type-mismatch"]));
}

#[tokio::test]
async fn json_keeps_the_order_and_bad_base64_is_one_pictures_problem() {
    let rig = rig();
    let images = json!({"images": [base64(&png(255)), "!", "", base64(&png(0))]});
    let answer = rig.post("/classify/batch", "application/json", images.to_string()).await.ok();
    let results = answer["results"].as_array().expect("an array");
    let seen: Vec<_> = results
        .iter()
        .map(|result| {
            let label = result["predictions"][0]["label"].as_str();
            label.or(result["error"]["code"].as_str()).expect("one of both")
        })
        .collect();
    assert_eq!(seen, ["white", "invalid-base64", "missing-image", "black"]);
    assert_eq!(results[3]["name"], "images[3]");
    let work = rig.records.last().work;
    assert_eq!(work.pictures, 4);
    assert!(work.batch_size.is_some() && work.timings.is_some());
}

#[tokio::test]
async fn the_limit_on_pictures_is_kept() {
    let rig = rig();
    let picture = png(128);
    let parts = |count| vec![("file", Some("a.png"), None, &picture[..]); count];
    let answer = rig.post("/classify/batch", FORM, form(&parts(4))).await.ok();
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(4));
    let answer = rig.post("/classify/batch", FORM, form(&parts(5))).await;
    answer.problem(400, "too-many-images");
    let images = json!({"images": vec![base64(&picture); 5]}).to_string();
    let answer = rig.post("/classify/batch", "application/json", images).await;
    answer.problem(400, "too-many-images");
}

#[tokio::test]
async fn a_request_that_is_wrong_as_a_whole_is_refused_as_a_whole() {
    let rig = rig();
    let uri = "/classify/batch";
    let json = "application/json";
    rig.post(uri, json, "").await.problem(400, "empty-body");
    rig.post(uri, json, r#"{"images":[]}"#).await.problem(400, "missing-image");
    rig.post(uri, json, r#"{"image":""}"#).await.problem(400, "invalid-json");
    rig.post(uri, json, r#"{"images":[1]}"#).await.problem(400, "invalid-json");
    rig.post(uri, FORM, form(&[])).await.problem(400, "missing-image");
    rig.post("/classify/batch?model=x", json, "").await.problem(404, "unknown-model");
    let raw = rig.post(uri, "image/png", png(0)).await.ok();
    assert_eq!(raw["results"][0]["name"], "body");
}

#[tokio::test]
async fn many_pictures_fit_where_one_at_a_time_would() {
    let large = image::DynamicImage::new_rgb8(500, 500);
    let file = crate::support::encoded(&large, image::ImageFormat::Png);
    let header = nin_serve::preprocess::Header::read(&file, u64::MAX).expect("a PNG");
    let mut setup = Setup::default();
    // Room for the decoding of two pictures, not of eight.
    setup.service.memory_budget = 2 * header.decoded_bytes;
    setup.service.decode_threads = crate::support::count(1);
    setup.service.decode_queue = crate::support::count(1);
    setup.http.max_batch_images = 8;
    let rig = setup.rig();
    let parts = vec![("file", Some("a.png"), None, &file[..]); 8];
    let answer = rig.post("/classify/batch", FORM, form(&parts)).await.ok();
    let results = answer["results"].as_array().expect("an array");
    assert!(results.iter().all(|result| result["status"] == 200), "{answer}");
    assert_eq!(rig.service.budget().in_flight(), 0);
}
