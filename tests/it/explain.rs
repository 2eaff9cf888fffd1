//! Explanations of the shipped models.

use std::path::Path;

use image::{GrayImage, ImageFormat};
use nin_serve::explain::{DEFAULT_THRESHOLD, Evidence, PixelBox, strongest};
use nin_serve::model::{Classifier, ModelFolder, Pixels, Precision, Prediction, Sample};
use nin_serve::preprocess::{Framing, Header, Prepared, prepare};

use crate::digits::{Drawing, encode};

fn shipped(name: &str) -> ModelFolder {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    ModelFolder::load(&models.join(name)).expect("a shipped model")
}

const CANVAS: u32 = 84;
const DIGITS: [u8; 7] = [0, 1, 2, 3, 4, 7, 8];

/// nin-mnist as it is, but for a larger picture, of which it sees all.
fn on_canvas() -> ModelFolder {
    let mut folder = shipped("nin-mnist");
    let input = &mut folder.manifest.input;
    (input.width, input.height, input.framing) = (CANVAS, CANVAS, Framing::Whole);
    folder
}

struct Case {
    digit: u8,
    picture: GrayImage,
    truth: PixelBox,
}

fn cases() -> impl Iterator<Item = Case> {
    (0..100u32).map(|number| {
        let digit = DIGITS[number as usize % DIGITS.len()];
        let side = 24 + number % 9;
        let drawing = Drawing { side, size: 0.75, ink: 255, ground: 0 };
        let drawn = drawing.draw(digit);
        let far = CANVAS - side;
        let jitter = number / 4 % 5;
        let (x, y) =
            [(jitter, jitter), (far - jitter, jitter), (jitter, far - jitter), (far - jitter, far)]
                [number as usize % 4];
        let mut picture = GrayImage::new(CANVAS, CANVAS);
        image::imageops::overlay(&mut picture, &drawn, x.into(), y.into());
        let truth = ink_box(&picture);
        Case { digit, picture, truth }
    })
}

fn ink_box(p: &GrayImage) -> PixelBox {
    let ink = || p.enumerate_pixels().filter(|(.., v)| v.0[0] > 100);
    let l = ink().map(|i| i.0).min().unwrap();
    let r = ink().map(|i| i.0).max().unwrap();
    let t = ink().map(|i| i.1).min().unwrap();
    let b = ink().map(|i| i.1).max().unwrap();
    PixelBox { x: l, y: t, width: r - l + 1, height: b - t + 1 }
}

fn iou(a: PixelBox, b: PixelBox) -> f64 {
    let ov = |s1: u32, l1: u32, s2: u32, l2: u32| {
        f64::from((s1 + l1).min(s2 + l2).saturating_sub(s1.max(s2)))
    };
    let i = ov(a.x, a.width, b.x, b.width) * ov(a.y, a.height, b.y, b.height);
    i / (f64::from(a.width * a.height) + f64::from(b.width * b.height) - i)
}

#[test]
fn experiment() {
    let folder = on_canvas();
    let classifier = Classifier::new(&folder, Precision::F32).expect("built");
    for threshold in [0.1f32, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6] {
        let mut good = 0;
        let mut right = 0;
        let mut sum = 0.0;
        for case in cases() {
            let bytes = encode(&case.picture, ImageFormat::Png);
            let header = Header::read(&bytes, 1 << 20).unwrap();
            let spec = &folder.manifest.input;
            let Prepared { pixels, region, .. } = prepare(&bytes, &header, spec).unwrap();
            let p = classifier
                .infer(&[Sample { pixels: Pixels::Bytes(pixels), maps: true }])
                .unwrap()
                .remove(0);
            let top =
                p.probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            right += usize::from(top == case.digit as usize);
            let e = Evidence::new(case.digit.into(), p.maps.as_ref().unwrap(), region, spec);
            let f = strongest(&e, (CANVAS, CANVAS), threshold)
                .map_or(0.0, |f| iou(f.bounds, case.truth));
            good += usize::from(f >= 0.3);
            sum += f;
            if threshold == 0.2 {
                let b = &e.values;
                let corner = b[(e.height / 2) * e.width + e.width / 2];
                let max = b.iter().copied().fold(0.0, f32::max);
                println!(
                    "digit {} top {} iou {:.2} p {:.3} blank {:.3} max {:.3} mean {:.3} area {:?}",
                    case.digit,
                    top,
                    f,
                    p.probabilities[case.digit as usize],
                    corner,
                    max,
                    b.iter().sum::<f32>() / b.len() as f32,
                    e.area
                );
            }
        }
        println!(
            "threshold {threshold}: {good} of 100, mean {:.3}, top right {right}",
            sum / 100.0
        );
    }
}
