//! Pictures against Pillow, broken pictures, warnings, ink.

use std::path::{Path, PathBuf};

use nin_serve::preprocess::{
    ChannelOrder, Channels, Filter, Framing, Header, InputSpec, Polarity, Prepared, Resize,
};

const MAX_PIXELS: u64 = 50_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures")
}

fn spec(width: u32, height: u32, channels: Channels) -> InputSpec {
    InputSpec {
        width,
        height,
        channels,
        order: ChannelOrder::Rgb,
        resize: Resize::Squash,
        filter: Filter::Bilinear,
        background: [255; 3],
        polarity: Polarity::Keep,
        framing: Framing::Whole,
        scale: 1.0 / 255.0,
        mean: vec![0.0; channels.count()],
        std: vec![1.0; channels.count()],
    }
}

fn prepare(bytes: &[u8], spec: &InputSpec) -> Prepared {
    let header = Header::read(bytes, MAX_PIXELS).expect("header");
    nin_serve::preprocess::prepare(bytes, &header, spec).expect("picture")
}

/// All pictures by name, sorted as the expectations are.
fn pictures() -> Vec<(String, Vec<u8>)> {
    let mut pictures: Vec<_> = std::fs::read_dir(folder())
        .expect("fixtures")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("file"))
        })
        .collect();
    pictures.sort();
    pictures
}

#[test]
fn agrees_with_pillow() {
    let open = |name| image::open(folder().join("expected").join(name)).expect("expected");
    let (rgb, grey) =
        (open("rgb.png").into_rgb8().into_raw(), open("grey.png").into_luma8().into_raw());
    let mut failures = Vec::new();
    for (i, (name, bytes)) in pictures().iter().enumerate() {
        for (kind, spec, expected) in [
            ("rgb", spec(24, 18, Channels::Colour), &rgb),
            ("grey", spec(28, 28, Channels::Grey), &grey),
        ] {
            let expected = &expected[i * spec.bytes()..][..spec.bytes()];
            let got = prepare(bytes, &spec).pixels;
            let differences = || got.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
            let mean = differences().map(f64::from).sum::<f64>() / got.len() as f64;
            let max = differences().max().expect("pixels");
            let lossy = name.ends_with(".jpg") || name.starts_with("lossy");
            if mean > 1.0 || (max > 4 && !lossy) {
                failures.push(format!("{name} as {kind}: mean {mean:.3}, max {max}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn truncated_pictures_are_corrupt() {
    let spec = spec(24, 18, Channels::Colour);
    let mut n=0;
    for (name, bytes) in pictures() {
        let whole = prepare(&bytes, &spec).pixels;
        for cut in (1..bytes.len()) {
            let part = &bytes[..cut];
            let result = Header::read(part, MAX_PIXELS)
                .and_then(|header| nin_serve::preprocess::prepare(part, &header, &spec));
            n+=1;
            if let Ok(prepared) = result {
                if (cut*10 / bytes.len()) % 1 == 0 { println!("{name} at {cut} of {}: OK, equal {}", bytes.len(), prepared.pixels == whole); }
            }
        }
    }
    println!("{n} cuts");
}
