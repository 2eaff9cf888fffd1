//! What the shipped models see.

use std::path::Path;

use image::{GrayImage, ImageFormat, Luma};
use nin_serve::explain::{DEFAULT_THRESHOLD, Evidence, PixelBox, strongest};
use nin_serve::model::architecture::Head;
use nin_serve::model::folder::load_all;
use nin_serve::model::{Classifier, ModelFolder, Pixels, Precision, Prediction, Sample};
use nin_serve::preprocess::{Framing, Header, Region, prepare};
use serde_json::Value;
use tempfile::TempDir;

use crate::digits::{Drawing, ON_PAPER, encode};
use crate::lifecycle::process::{Process, binary};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
const DIGITS: [u8; 7] = [0, 1, 2, 3, 4, 7, 8];

/// Runs a picture as the service does.
fn predict(
    folder: &ModelFolder,
    classifier: &Classifier,
    picture: &GrayImage,
) -> (Prediction, Region) {
    let bytes = encode(picture, ImageFormat::Png);
    let header = Header::read(&bytes, 1 << 20).expect("a PNG");
    let prepared = prepare(&bytes, &header, &folder.manifest.input).expect("a whole PNG");
    let sample = Sample { pixels: Pixels::Bytes(prepared.pixels), maps: true };
    let mut predictions = classifier.infer(&[sample]).expect("an answer");
    (predictions.remove(0), prepared.region)
}

#[test]
fn the_mean_of_a_map_is_the_score_of_its_class() {
    for folder in load_all(MODELS.as_ref()).expect("the shipped models") {
        let classifier = Classifier::new(&folder, Precision::F32).expect("a network");
        for digit in DIGITS {
            let (found, _) = predict(&folder, &classifier, &ON_PAPER.draw(digit));
            let scores = match folder.architecture.head {
                Head::PoolThenSoftmax => &found.logits,
                Head::SoftmaxThenPool => &found.probabilities,
            };
            let maps = found.maps.as_ref().expect("maps");
            let cells = maps.width * maps.height;
            for (map, score) in maps.values.chunks(cells).zip(scores) {
                let mean = map.iter().map(|&value| f64::from(value)).sum::<f64>() / cells as f64;
                let difference = (mean - f64::from(*score)).abs();
                assert!(difference < 1e-4, "{}: {mean} is not {score}", folder.name);
            }
        }
    }
}

/// Pixels along each side.
const CANVAS: u32 = 84;

/// A digit in a corner of an empty canvas.
struct Pasted {
    digit: u8,
    picture: GrayImage,
    truth: PixelBox,
}

fn pasted(number: u32) -> Pasted {
    let digit = DIGITS[number as usize % DIGITS.len()];
    // 18 to 24 pixels high, as MNIST's 20.
    let side = 24 + number % 9;
    let drawn = Drawing { side, size: 0.75, ink: 255, ground: 0 }.draw(digit);
    let (near, far) = (number / 4 % 5, CANVAS - side - number / 4 % 5);
    let corners = [(near, near), (far, near), (near, far), (far, far)];
    let (x, y) = corners[number as usize % 4];
    let mut picture = GrayImage::new(CANVAS, CANVAS);
    image::imageops::overlay(&mut picture, &drawn, x.into(), y.into());
    let truth = ink_box(&picture);
    Pasted { digit, picture, truth }
}

/// The box of what is lighter than half.
fn ink_box(picture: &GrayImage) -> PixelBox {
    let ink = || picture.enumerate_pixels().filter(|(.., ink)| ink.0[0] > 127);
    let (left, right) = (ink().map(|(x, ..)| x).min(), ink().map(|(x, ..)| x).max());
    let (top, bottom) = (ink().map(|(_, y, _)| y).min(), ink().map(|(_, y, _)| y).max());
    let (x, y) = (left.expect("ink"), top.expect("ink"));
    let (right, bottom) = (right.expect("ink"), bottom.expect("ink"));
    PixelBox { x, y, width: right - x + 1, height: bottom - y + 1 }
}

/// Intersection over union.
fn overlap(a: PixelBox, b: PixelBox) -> f64 {
    let shared = |from: u32, length: u32, other: u32, other_length: u32| {
        let end = (from + length).min(other + other_length);
        f64::from(end.saturating_sub(from.max(other)))
    };
    let area = |of: PixelBox| f64::from(of.width * of.height);
    let both = shared(a.x, a.width, b.x, b.width) * shared(a.y, a.height, b.y, b.height);
    both / (area(a) + area(b) - both)
}

/// nin-mnist is fully convolutional, so its weights run on a larger picture. There it must find a
/// digit by itself, while in service the ink is framed before it looks.
#[test]
fn a_digit_in_a_corner_is_found_there() {
    let mut folder = ModelFolder::load(&Path::new(MODELS).join("nin-mnist")).expect("a model");
    let input = &mut folder.manifest.input;
    (input.width, input.height, input.framing) = (CANVAS, CANVAS, Framing::Whole);
    let classifier = Classifier::new(&folder, Precision::F32).expect("a network");
    let overlaps: Vec<(u8, f64)> = (0..100)
        .map(|number| {
            let Pasted { digit, picture, truth } = pasted(number);
            let (found, region) = predict(&folder, &classifier, &picture);
            let maps = found.maps.expect("maps");
            let evidence = Evidence::new(digit.into(), &maps, region, &folder.manifest.input);
            let found = strongest(&evidence, (CANVAS, CANVAS), DEFAULT_THRESHOLD);
            (digit, found.map_or(0.0, |found| overlap(found.bounds, truth)))
        })
        .collect();
    let good = overlaps.iter().filter(|(_, overlap)| *overlap >= 0.3).count();
    let by_digit = DIGITS.map(|digit| {
        let of_it = || overlaps.iter().filter(|(found, _)| *found == digit);
        (digit, of_it().filter(|(_, overlap)| *overlap >= 0.3).count(), of_it().count())
    });
    println!("{good} of 100; by digit (found, of): {by_digit:?}");
    assert!(good >= 70, "{good} of 100; by digit (found, of): {by_digit:?}");
}

/// A sheet with one digit towards a corner.
fn sheet() -> (GrayImage, PixelBox) {
    let drawn = Drawing { side: 150, size: 0.8, ..ON_PAPER }.draw(3);
    let mut sheet = GrayImage::from_pixel(640, 480, Luma([ON_PAPER.ground]));
    image::imageops::overlay(&mut sheet, &drawn, 440, 300);
    let mut negative = sheet.clone();
    image::imageops::invert(&mut negative);
    (sheet, ink_box(&negative))
}

#[tokio::test]
async fn the_service_finds_a_digit_on_a_sheet() {
    let server = Process::start_at(MODELS.as_ref(), &[]);
    let (sheet, truth) = sheet();
    let ask = reqwest::Client::new()
        .post(server.url("/explain?model=nin-mnist"))
        .body(encode(&sheet, ImageFormat::Png));
    let answer = ask.send().await.expect("an answer").bytes().await.expect("a body");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["label"], "3");
    let side = |name: &str| answer["box"][name].as_u64().expect("a number") as u32;
    let found =
        PixelBox { x: side("x"), y: side("y"), width: side("width"), height: side("height") };
    assert!(overlap(found, truth) > 0.3, "{found:?} is not {truth:?}");
    let values = answer["map"]["values"].as_array().expect("values");
    let mean = values.iter().filter_map(Value::as_f64).sum::<f64>() / values.len() as f64;
    assert!((mean - answer["probability"].as_f64().expect("a number")).abs() < 1e-4);
}

#[test]
fn the_command_line_writes_heat_maps() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("sheet.png"), encode(&sheet().0, ImageFormat::Png)).expect("written");
    std::fs::write(path("seven.bmp"), encode(&ON_PAPER.draw(7), ImageFormat::Bmp))
        .expect("written");
    let command = || {
        let mut command = binary();
        command.args(["classify", "--models", MODELS, "--model", "nin-mnist", "--explain"]);
        command
    };
    let run = command().args([path("heat.png"), path("sheet.png")]).output().expect("it runs");
    assert!(run.status.success(), "{run:?}");
    let heat = image::open(path("heat.png")).expect("a PNG").into_rgb8();
    assert_eq!(heat.dimensions(), (640, 480));
    let coloured = heat.pixels().filter(|pixel| pixel.0.iter().any(|value| *value != pixel.0[0]));
    assert!(coloured.count() > 500, "the digit glows");
    let table = String::from_utf8(run.stdout).expect("text");
    assert!(table.contains("█") && !table.contains('\u{1b}'), "no colours in a pipe: {table}");

    let both = [path("sheet.png"), path("seven.bmp")];
    let run = command().arg(path("heat.png")).args(&both).output().expect("it runs");
    assert_eq!(run.status.code(), Some(1));
    let message = String::from_utf8(run.stderr).expect("text");
    assert!(message.contains("give a folder that exists"), "{message}");
    let run = command().arg(folder.path()).args(&both).output().expect("it runs");
    assert!(run.status.success(), "{run:?}");
    assert!(path("seven.bmp.heat.png").is_file() && path("sheet.png.heat.png").is_file());
}

#[test]
fn shells_and_readers_get_the_command_line_described() {
    let run = |arguments: &[&str]| {
        let output = binary().args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("healthcheck") && script.contains("top-k"), "{shell}");
    }
    let page = run(&["man"]);
    assert!(page.contains(".TH nin-serve 1") && page.contains("SUBCOMMANDS"), "{page}");
    let folder = TempDir::new().expect("a folder");
    run(&["man", "--folder", &folder.path().to_string_lossy()]);
    let page = std::fs::read_to_string(folder.path().join("nin-serve-classify.1"));
    assert!(page.expect("a page").contains("Examples"));
}
