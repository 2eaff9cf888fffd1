//! The shipped models over HTTP, as a newcomer meets them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use image::ImageFormat;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::digits::{Drawing, ON_BLACK, ON_PAPER, encode};
use crate::lifecycle::process::Process;

const DIGITS: [u8; 7] = [0, 1, 2, 3, 4, 7, 8];
const URL: &str = "/classify?model=nin-mnist";

fn start(arguments: &[&str]) -> Process {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    Process::start_at(models.as_ref(), arguments)
}

async fn post(server: &Process, body: Vec<u8>) -> Response {
    Client::new().post(server.url(URL)).body(body).send().await.expect("an answer")
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

/// Probabilities in the order of the classes.
fn probabilities(answer: &Value) -> Vec<f64> {
    let mut predictions: Vec<_> = answer["predictions"].as_array().expect("predictions").clone();
    predictions.sort_by_key(|prediction| prediction["index"].as_u64());
    predictions.iter().map(|p| p["probability"].as_f64().expect("a number")).collect()
}

fn label(answer: &Value) -> &str {
    answer["predictions"][0]["label"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn drawn_digits_are_read_on_paper_and_on_black() {
    let server = start(&[]);
    let large = Drawing { side: 640, size: 0.4, ..ON_PAPER };
    let mut wrong = Vec::new();
    for (name, drawing) in [("paper", ON_PAPER), ("large paper", large), ("black", ON_BLACK)] {
        for digit in DIGITS {
            let answer =
                json_of(post(&server, encode(&drawing.draw(digit), ImageFormat::Png)).await).await;
            let sum: f64 = probabilities(&answer).iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
            if label(&answer) != digit.to_string() {
                wrong.push(format!("{digit} on {name} read as {}", label(&answer)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn the_way_a_picture_is_sent_does_not_change_the_answer() {
    let server = start(&[]);
    let picture = ON_PAPER.draw(3);
    let png = encode(&picture, ImageFormat::Png);
    let expected = probabilities(&json_of(post(&server, png.clone()).await).await);
    let client = Client::new();
    let mut answers = Vec::new();
    for format in [ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        answers.push(json_of(post(&server, encode(&picture, format)).await).await);
    }
    let form = Form::new().part("file", Part::bytes(png.clone()).file_name("3.png"));
    let form = client.post(server.url(URL)).multipart(form).send().await.expect("an answer");
    answers.push(json_of(form).await);
    let encoded = json!({"image": BASE64_STANDARD.encode(&png)});
    let encoded = client.post(server.url(URL)).json(&encoded).send().await.expect("an answer");
    answers.push(json_of(encoded).await);
    for answer in &answers {
        for (found, expected) in probabilities(answer).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_hundred_good_and_bad_uploads_at_once() {
    let server = start(&[]);
    let truncated = encode(&ON_PAPER.draw(8), ImageFormat::Png)[..900].to_vec();
    let bad: [(Vec<u8>, u16); 4] = [
        (b"twenty bytes of text".to_vec(), 415),
        (Vec::new(), 400),
        (truncated, 422),
        (huge_png_header(), 413),
    ];
    let client = Client::new();
    let mut uploads = Vec::new();
    for index in 0..100 {
        let (body, status, digit) = match bad.get(index % 8) {
            Some((body, status)) => (body.clone(), *status, None),
            None => {
                let digit = DIGITS[index % DIGITS.len()];
                (encode(&ON_PAPER.draw(digit), ImageFormat::Png), 200, Some(digit))
            }
        };
        let request = client.post(server.url(URL)).body(body).send();
        uploads.push(async move { (request.await.expect("an answer"), status, digit) });
    }
    for (response, status, digit) in join_all(uploads).await {
        assert_eq!(response.status(), status);
        let answer = json_of(response).await;
        match digit {
            Some(digit) => assert_eq!(label(&answer), digit.to_string()),
            None => assert_eq!(answer["status"], status, "{answer}"),
        }
    }
    assert!(post(&server, encode(&ON_PAPER.draw(1), ImageFormat::Png)).await.status().is_success());
}

#[tokio::test]
async fn uploads_that_come_together_run_together() {
    let server = start(&[]);
    // Small enough that decoding keeps ahead of the network.
    let picture = encode(&ON_BLACK.draw(7), ImageFormat::Png);
    let client = Client::new();
    for _ in 0..20 {
        let uploads = (0..64).map(|_| client.post(server.url(URL)).body(picture.clone()).send());
        for response in join_all(uploads).await {
            assert_eq!(label(&json_of(response.expect("an answer")).await), "7");
        }
        let sizes = (0..64).map(|_| {
            let line: Value = serde_json::from_str(&server.log_line("batch_size")).expect("JSON");
            line["batch_size"].as_u64().expect("a number")
        });
        if sizes.max() > Some(1) {
            return;
        }
    }
    panic!("no batch of more than one picture in 20 rounds of 64 uploads at once");
}

/// The header of a PNG of 50,000 × 50,000 pixels, with its checksum, and nothing after it.
fn huge_png_header() -> Vec<u8> {
    let side = 50_000u32.to_be_bytes();
    let parts: [&[u8]; 5] = [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
        &side,
        &side,
        &[8, 2, 0, 0, 0],
        &[0xc4, 0xcd, 0xaa, 0x9d],
    ];
    parts.concat()
}
