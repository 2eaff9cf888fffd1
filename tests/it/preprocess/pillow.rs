//! Against Pillow; `scripts/fixtures/pillow_pictures.py` makes pictures and expectations.

use nin_serve::preprocess::Channels;

use super::{folder, pictures, prepare, spec};

#[test]
fn all_formats_agree_with_pillow() {
    let expected = |name| image::open(folder().join("expected").join(name)).expect("a fixture");
    let colour = expected("rgb.png").into_rgb8().into_raw();
    let grey = expected("grey.png").into_luma8().into_raw();
    let contracts =
        [(spec(24, 18, Channels::Colour), colour), (spec(28, 28, Channels::Grey), grey)];
    let pictures = pictures();
    let mut failures = Vec::new();
    for (spec, expected) in &contracts {
        assert_eq!(expected.len(), spec.bytes() * pictures.len());
        for ((name, bytes), expected) in pictures.iter().zip(expected.chunks(spec.bytes())) {
            let got = prepare(bytes, spec).pixels;
            let differences = || got.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
            let mean = differences().map(f64::from).sum::<f64>() / got.len() as f64;
            let max = differences().max().expect("pixels");
            let lossy = name.ends_with(".jpg") || name.starts_with("lossy");
            println!("{name:24} {} channels: mean {mean:.3}, max {max}", spec.channels.count());
            if mean > 1.0 || (max > 4 && !lossy) {
                failures.push(format!("{name}: mean {mean:.3}, max {max}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
