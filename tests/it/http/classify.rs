//! The answer to one picture.

use image::ImageFormat;
use serde_json::json;

use super::*;
use crate::support::{LABELS, Mood, encoded, grey, png};

#[tokio::test]
async fn the_answer_has_the_documented_shape() {
    let rig = rig();
    let answer = rig.send(classify(png(100))).await.ok();
    let probability = |value: &Value| value.as_f64().expect("a number") as f32;
    let predictions = answer["predictions"].as_array().expect("an array");
    let named: Vec<_> =
        predictions.iter().map(|p| (p["label"].as_str(), p["index"].as_u64())).collect();
    // By probability, equal ones in the order of the labels.
    assert_eq!(
        named,
        [
            (Some("dark"), Some(1)),
            (Some("black"), Some(0)),
            (Some("light"), Some(2)),
            (Some("white"), Some(3)),
        ]
    );
    let probabilities: Vec<_> =
        predictions.iter().map(|p| probability(&p["probability"])).collect();
    assert_eq!(probabilities, [0.7, 0.1, 0.1, 0.1]);
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    assert_eq!(answer["model"], "first");
    assert_eq!(answer["image"], json!({"format": "png", "width": 16, "height": 12}));
    assert_eq!(answer["warnings"], json!([]));
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(4));
}

#[tokio::test]
async fn probabilities_are_printed_as_short_numbers() {
    let body = rig().send(classify(png(0))).await.body;
    let text = String::from_utf8(body).expect("UTF-8");
    assert!(text.contains(r#""probability":0.7}"#), "{text}");
}

#[tokio::test]
async fn top_k_keeps_the_best() {
    let rig = rig();
    for (top_k, kept) in [(1, 1), (2, 2), (4, 4), (100, 4)] {
        let uri = format!("/classify?top_k={top_k}");
        let answer = rig.post(&uri, "image/png", png(255)).await.ok();
        let predictions = answer["predictions"].as_array().expect("an array");
        assert_eq!(predictions.len(), kept);
        assert_eq!(predictions[0]["label"], "white");
    }
}

#[tokio::test]
async fn a_model_is_chosen_by_name() {
    let rig = rig();
    for (uri, model) in [
        ("/classify", "first"),
        ("/classify?model=first", "first"),
        ("/classify?model=second", "second"),
    ] {
        let answer = rig.post(uri, "image/png", png(0)).await.ok();
        assert_eq!(answer["model"], model);
        assert_eq!(rig.records.last().work.model.as_deref(), Some(model));
    }
}

#[tokio::test]
async fn server_timing_names_the_stages_in_milliseconds() {
    let answer = rig().send(classify(png(0))).await;
    let stages: Vec<_> = answer
        .header("server-timing")
        .split(", ")
        .map(|stage| {
            let (name, duration) = stage.split_once(";dur=").expect("a name and a duration");
            (name.to_owned(), duration.parse::<f64>().expect("a number"))
        })
        .collect();
    let names: Vec<_> = stages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["decode", "queue", "inference", "total"]);
    let total = stages[3].1;
    assert!(total > 0.0 && total < 10_000.0);
    let sum: f64 = stages[..3].iter().map(|(_, duration)| duration).sum();
    assert!(sum <= total + 0.01, "{stages:?}");
}

#[tokio::test]
async fn the_same_picture_gives_the_same_answer_in_every_form() {
    let rig = rig();
    let picture = png(200);
    let expected = rig.send(classify(picture.clone())).await.ok();
    let text = base64(&picture);
    let file = form(&[("anything", Some("a.png"), Some("image/png"), &picture)]);
    let other_fields = form(&[
        ("note", None, None, b"passed over"),
        ("file", None, Some("application/octet-stream"), &picture),
        ("later", None, Some("text/plain"), b"passed over"),
    ]);
    let unpadded = text.trim_end_matches('=').to_owned();
    let mime = text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
    let wrapped = mime.collect::<Vec<_>>().join("\r\n");
    let as_json = |text: &str| json!({"image": text}).to_string();
    let data_url = as_json(&format!("data:image/png;base64,{text}"));
    for (kind, body) in [
        ("application/octet-stream", picture.clone()),
        ("application/x-www-form-urlencoded", picture.clone()),
        ("image/*", picture.clone()),
        (FORM, file),
        (FORM, other_fields),
        ("application/json", as_json(&text).into_bytes()),
        ("application/json; charset=utf-8", as_json(&unpadded).into_bytes()),
        ("application/vnd.api+json", as_json(&wrapped).into_bytes()),
        ("application/x-www-form-urlencoded", as_json(&text).into_bytes()),
        ("application/json", data_url.into_bytes()),
    ] {
        let answer = rig.post("/classify", kind, body).await.ok();
        assert_eq!(answer, expected, "{kind}");
    }
    let untyped = request("POST", "/classify", None, picture);
    assert_eq!(rig.send(untyped).await.ok(), expected);
}

#[tokio::test]
async fn every_lossless_format_gives_the_same_answer() {
    let rig = rig();
    for (format, kind, name) in [
        (ImageFormat::Png, "image/png", "png"),
        (ImageFormat::Bmp, "image/bmp", "bmp"),
        (ImageFormat::Tiff, "image/tiff", "tiff"),
        (ImageFormat::WebP, "image/webp", "webp"),
        (ImageFormat::Gif, "image/gif", "gif"),
        (ImageFormat::Qoi, "image/qoi", "qoi"),
        (ImageFormat::Pnm, "image/x-portable-pixmap", "pnm"),
    ] {
        let body = encoded(&grey(160), format);
        let answer = rig.post("/classify", kind, body).await.ok();
        assert_eq!(answer["predictions"][0]["label"], LABELS[2], "{name}");
        assert_eq!(answer["image"]["format"], name);
        assert_eq!(answer["warnings"], json!([]), "{name}");
    }
}

#[tokio::test]
async fn content_decides_and_a_false_type_gives_a_warning() {
    let rig = rig();
    let warned = json!(["content-type-mismatch"]);
    let picture = png(0);
    for kind in ["image/jpeg", "text/html", "application/pdf; x=y"] {
        assert_eq!(rig.post("/classify", kind, picture.clone()).await.ok()["warnings"], warned);
    }
    let file = form(&[("file", Some("a.jpg"), Some("image/jpeg"), &picture)]);
    assert_eq!(rig.post("/classify", FORM, file).await.ok()["warnings"], warned);
    let url = json!({"image": format!("data:image/gif;base64,{}", base64(&picture))});
    let answer = rig.post("/classify", "application/json", url.to_string()).await;
    assert_eq!(answer.ok()["warnings"], warned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_uploads_at_once_get_each_its_own_answer() {
    let mut setup = Setup { queue_capacity: 128, ..Setup::default() };
    setup.service.decode_queue = crate::support::count(128);
    let rig = setup.rig();
    let one = async |number: usize| {
        let level = number % 4;
        let mut picture = png((level * 64) as u8);
        let answer = match number % 5 {
            0 => {
                picture.truncate(60);
                rig.send(classify(picture)).await.problem(422, "corrupt-image");
                return;
            }
            1 => rig.post("/classify", FORM, form(&[("f", Some("f"), None, &picture)])).await,
            2 => {
                let body = json!({"image": base64(&picture)}).to_string();
                rig.post("/classify", "application/json", body).await
            }
            _ => rig.send(classify(picture)).await,
        };
        assert_eq!(answer.ok()["predictions"][0]["label"], LABELS[level]);
    };
    // The engine is held up until all that can be decoded waits for it.
    rig.first.engine.set(Mood::Hold);
    let stats =
        |rig: &Rig| rig.service.models().current().get(None).expect("the default").batcher.stats();
    let release = async {
        rig.until(|rig| stats(rig).depth + stats(rig).in_flight == 80).await;
        rig.first.engine.set(Mood::Answer);
        rig.first.engine.let_go();
    };
    tokio::join!(futures_util::future::join_all((0..100).map(one)), release);
    assert_eq!(rig.service.budget().in_flight(), 0);
    assert_eq!(rig.service.in_flight(), 0);
    let stats = stats(&rig);
    assert_eq!((stats.depth, stats.in_flight), (0, 0));
    // One of at least one picture, and full ones of four.
    assert!(stats.batches <= 21, "{stats:?}");
}
