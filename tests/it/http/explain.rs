//! Where the network saw what it says.

use axum::http::header::ACCEPT;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, load_from_memory};
use serde_json::json;

use super::*;
use crate::support::{LABELS, encoded};

/// Of the picture, pixels.
const SIZE: (u32, u32) = (32, 16);

/// Black, with a white quarter at the bottom right, which the engine takes for evidence.
fn corner() -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([if x >= 16 && y >= 8 { 255 } else { 0 }; 3]))
}

fn png_of(picture: &RgbImage) -> Vec<u8> {
    encoded(&DynamicImage::from(picture.clone()), ImageFormat::Png)
}

fn accepting(uri: &str, kind: &str) -> Request<Body> {
    let mut request = request("POST", uri, Some("image/png"), png_of(&corner()));
    request.headers_mut().insert(ACCEPT, kind.parse().expect("a legal value"));
    request
}

async fn explain(rig: &Rig, query: &str) -> Answer {
    rig.post(&format!("/explain{query}"), "image/png", png_of(&corner())).await
}

fn close_to(found: &Value, expected: u64) -> bool {
    found.as_u64().is_some_and(|found| found.abs_diff(expected) <= 4)
}

#[tokio::test]
async fn the_answer_shows_where_the_best_class_was_seen() {
    let rig = rig();
    let answer = explain(&rig, "?threshold=0.5").await;
    assert!(answer.header("server-timing").contains("inference;dur="));
    let answer = answer.ok();
    assert_eq!(answer["model"], "first");
    assert_eq!((&answer["label"], &answer["index"]), (&json!(LABELS[0]), &json!(0)));
    assert_eq!(answer["threshold"], 0.5);
    let map = &answer["map"];
    assert_eq!((&map["width"], &map["height"]), (&json!(2), &json!(2)));
    assert_eq!(map["values"], json!([0.0, 0.0, 0.0, 1.0]));
    assert_eq!(map["strengths"], json!([0.0, 0.0, 0.0, 1.0]));
    let whole = json!({"x": 0.0, "y": 0.0, "width": 32.0, "height": 16.0});
    assert_eq!((&map["area"], &map["shown"]), (&whole, &whole));
    let found = &answer["box"];
    assert!(close_to(&found["x"], 16) && close_to(&found["y"], 8), "{found}");
    assert!(close_to(&found["width"], 16) && close_to(&found["height"], 8), "{found}");
    assert_eq!(answer["image"], json!({"format": "png", "width": 32, "height": 16}));
    assert_eq!(answer["warnings"], json!([]));
    assert!(answer.get("mask").is_none());
    assert_eq!(rig.records.last().work.pictures, 1);
}

#[tokio::test]
async fn a_class_is_named_by_label_or_index() {
    let rig = rig();
    for query in ["?class=light", "?class=2"] {
        let answer = explain(&rig, query).await.ok();
        assert_eq!((&answer["label"], &answer["index"]), (&json!("light"), &json!(2)));
        assert_eq!(answer["box"], Value::Null, "nothing speaks for it");
    }
    for query in ["?class=4", "?class=Light", "?class=", "?class=-1"] {
        explain(&rig, query).await.problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn bad_parameters_and_pictures_are_told_as_elsewhere() {
    let rig = rig();
    for query in ["?threshold=0", "?threshold=1.01", "?threshold=NaN", "?threshold=x", "?mask=1"] {
        explain(&rig, query).await.problem(400, "invalid-parameter");
    }
    explain(&rig, "?top_k=1").await.problem(400, "invalid-parameter");
    explain(&rig, "?model=third").await.problem(404, "unknown-model");
    let post = async |body: &[u8]| rig.post("/explain", "image/png", body.to_vec()).await;
    post(b"").await.problem(400, "empty-body");
    post(b"no picture").await.problem(415, "unsupported-image");
    post(&png_of(&corner())[..60]).await.problem(422, "corrupt-image");
    let mut gone = accepting("/explain", "image/png");
    *gone.body_mut() = b"no picture".to_vec().into();
    rig.send(gone).await.problem(415, "unsupported-image");
}

#[tokio::test]
async fn the_heat_map_lies_over_the_picture() {
    let rig = rig();
    for kind in ["image/png", "image/*, application/json;q=0.5"] {
        let answer = rig.send(accepting("/explain", kind)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), "image/png");
        let heat = load_from_memory(&answer.body).expect("a PNG").into_rgb8();
        assert_eq!(heat.dimensions(), SIZE);
        assert_eq!(heat.get_pixel(2, 2), &Rgb([0; 3]), "nothing there");
        let Rgb([red, _, blue]) = *heat.get_pixel(31, 15);
        assert!(red > 150 && blue < 120, "the lightest colour is a bright orange");
    }
    assert_eq!(rig.service.budget().in_flight(), 0);
}

#[tokio::test]
async fn the_mask_is_white_where_the_class_is() {
    let rig = rig();
    let inline = explain(&rig, "?mask=true&threshold=0.5").await.ok();
    let (kind, data) = inline["mask"].as_str().expect("a mask").split_once(',').expect("data");
    assert_eq!(kind, "data:image/png;base64");
    use base64::Engine as _;
    let inline = base64::prelude::BASE64_STANDARD.decode(data).expect("base64");
    let answer = rig.send(accepting("/explain?mask=true&threshold=0.5", "image/png")).await;
    assert_eq!(answer.body, inline);
    let mask = load_from_memory(&inline).expect("a PNG").into_luma8();
    assert_eq!(mask.dimensions(), SIZE);
    assert_eq!((mask.get_pixel(31, 15).0, mask.get_pixel(2, 2).0), ([255], [0]));
    let none = rig.send(accepting("/explain?mask=true&class=light", "image/png")).await;
    let none = load_from_memory(&none.body).expect("a PNG").into_luma8();
    assert!(none.dimensions() == SIZE && none.pixels().all(|pixel| pixel.0 == [0]));
}

#[tokio::test]
async fn boxes_are_in_the_picture_as_a_person_sees_it() {
    let rig = rig();
    // Orientation 6: what is stored is turned to the right, so its bottom right is bottom left.
    let turned =
        [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".as_slice()]
            .concat();
    let mut jpeg = encoded(&DynamicImage::from(corner()), ImageFormat::Jpeg);
    let length = (turned.len() as u16 + 2).to_be_bytes();
    let segment = [[0xff, 0xe1].as_slice(), &length, &turned].concat();
    jpeg.splice(2..2, segment);
    let answer = rig.post("/explain?threshold=0.5", "image/jpeg", jpeg).await.ok();
    assert_eq!(answer["warnings"], json!(["rotated-by-exif"]));
    assert_eq!(answer["image"], json!({"format": "jpeg", "width": 16, "height": 32}));
    let found = &answer["box"];
    assert!(close_to(&found["x"], 0) && close_to(&found["y"], 16), "{found}");
    assert!(close_to(&found["width"], 8) && close_to(&found["height"], 16), "{found}");
}

#[tokio::test]
async fn classification_explains_if_asked() {
    let rig = rig();
    let picture = png_of(&corner());
    let alone = explain(&rig, "").await.ok();
    let answer =
        rig.post("/classify?explain=true&top_k=1", "image/png", picture.clone()).await.ok();
    for field in ["label", "index", "probability", "map", "box", "threshold"] {
        assert_eq!(answer["explanation"][field], alone[field], "{field}");
    }
    let plain = rig.post("/classify?explain=false", "image/png", picture).await.ok();
    assert!(plain.get("explanation").is_none());
    rig.post("/classify?explain=yes", "image/png", vec![0]).await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn batches_explain_each_picture() {
    let rig = rig();
    let (left, right) = (image::imageops::rotate180(&corner()), corner());
    let body = form(&[
        ("a", Some("left.png"), None, &png_of(&left)),
        ("b", Some("bad.png"), None, b"no picture"),
        ("c", Some("right.png"), None, &png_of(&right)),
    ]);
    let answer = rig.post("/classify/batch?explain=true", FORM, body).await.ok();
    let results = answer["results"].as_array().expect("results");
    let seen = |result: &Value| result["explanation"]["map"]["strengths"].clone();
    assert_eq!(seen(&results[0]), json!([1.0, 0.0, 0.0, 0.0]));
    assert_eq!(seen(&results[2]), json!([0.0, 0.0, 0.0, 1.0]));
    assert_eq!(results[1]["error"]["code"], "unsupported-image");
}
