//! Ink framing: digits drawn in code.

use nin_serve::preprocess::{Channels, Framing, InputSpec, Polarity, Prepared, Region, Warning};

use super::{pnm, prepare, spec};

/// A "7" of `size` pixels with its top left corner at (`left`, `top`).
#[derive(Clone, Copy)]
struct Seven {
    left: f64,
    top: f64,
    size: f64,
}

impl Seven {
    /// How much of the pixel is ink, 0–1: a bar, and a slanted stem from its right end.
    fn coverage(&self, x: u32, y: u32) -> f64 {
        let scaled = |p: u32, start: f64| (f64::from(p) + 0.5 - start) / self.size;
        let (x, y) = (scaled(x, self.left), scaled(y, self.top));
        let segment = |(ax, ay): (f64, f64), (bx, by): (f64, f64)| {
            let (dx, dy) = (bx - ax, by - ay);
            let along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy);
            let along = along.clamp(0.0, 1.0);
            (x - ax - along * dx).hypot(y - ay - along * dy)
        };
        let distance = segment((0.15, 0.1), (0.75, 0.1)).min(segment((0.75, 0.1), (0.4, 0.9)));
        ((0.07 - distance) * self.size + 0.5).clamp(0.0, 1.0)
    }

    /// A PGM whose ground is `ground(x, y)`, on which ink leaves the share `left` of the light.
    fn drawn(
        &self,
        (width, height): (u32, u32),
        ground: impl Fn(f64, f64) -> f64,
        ink: impl Fn(f64) -> f64,
    ) -> Vec<u8> {
        let value = |x: u32, y: u32| {
            let ground = ground(f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let cover = self.coverage(x, y);
            (ground * (1.0 - cover) + ink(ground) * cover).round() as u8
        };
        let pixels: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| value(x, y))
            .collect();
        pnm(width, height, Channels::Grey, &pixels)
    }
}

fn ink_spec() -> InputSpec {
    let polarity = Polarity::Auto;
    InputSpec { polarity, framing: Framing::Ink, ..spec(28, 28, Channels::Grey) }
}

/// Centre of mass in pixels, and the box of what is at least half ink: (x, y, width, height).
fn measure(prepared: &Prepared) -> (f64, f64, usize, usize) {
    let (mut sum, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
    let (mut left, mut top, mut right, mut bottom) = (28, 28, 0, 0);
    for (i, &value) in prepared.pixels.iter().enumerate() {
        let (x, y, weight) = (i % 28, i / 28, f64::from(value));
        sum += weight;
        sum_x += weight * (x as f64 + 0.5);
        sum_y += weight * (y as f64 + 0.5);
        if value >= 128 {
            (left, top, right, bottom) =
                (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
        }
    }
    (sum_x / sum, sum_y / sum, right - left, bottom - top)
}

/// Light strokes on black, the box 20 pixels high, the centre of mass within a pixel of the middle.
fn assert_framed(prepared: &Prepared, case: &str) {
    let (x, y, width, height) = measure(prepared);
    assert!((x - 14.0).abs() < 1.0 && (y - 14.0).abs() < 1.0, "{case}: centre {x:.2}, {y:.2}");
    assert!((19..=21).contains(&width.max(height)), "{case}: box {width}×{height}");
    let corners = [0, 27, 27 * 28, 28 * 28 - 1].map(|i| prepared.pixels[i]);
    assert_eq!(corners, [0; 4], "{case}");
    let most = prepared.pixels.iter().max().expect("pixels");
    assert!(*most > 230, "{case}: {most}");
}

#[test]
fn digits_are_framed_wherever_and_however_large_they_are() {
    let places =
        [(30.0, 20.0, 60.0), (200.0, 120.0, 90.0), (60.0, 10.0, 220.0), (5.0, 150.0, 70.0)];
    for (left, top, size) in places {
        let seven = Seven { left, top, size };
        let case = format!("{size} at {left}, {top}");
        let paper = seven.drawn((320, 240), |_, _| 230.0, |_| 40.0);
        let paper = prepare(&paper, &ink_spec());
        assert_framed(&paper, &case);
        assert!(paper.warnings.contains(&Warning::Inverted), "{case}");

        let board = seven.drawn((320, 240), |_, _| 30.0, |_| 220.0);
        let board = prepare(&board, &ink_spec());
        assert_framed(&board, &case);
        assert!(!board.warnings.contains(&Warning::Inverted), "{case}");

        let mean = paper.pixels.iter().zip(&board.pixels).map(|(a, b)| f64::from(a.abs_diff(*b)));
        assert!(mean.sum::<f64>() / 784.0 < 2.0, "{case}: paper and board differ");
    }
}

#[test]
fn uneven_light_makes_no_difference() {
    let seven = Seven { left: 170.0, top: 90.0, size: 110.0 };
    let even = prepare(&seven.drawn((320, 240), |_, _| 220.0, |g| 0.3 * g), &ink_spec());
    type Light = fn(f64, f64) -> f64;
    let lights: [(&str, Light); 4] = [
        ("from the left", |x, _| 240.0 - 150.0 * x),
        ("from a corner", |x, y| 90.0 + 75.0 * x + 75.0 * y),
        ("a spot", |x, y| 70.0 + 160.0 * (-4.0 * ((x - 0.4).powi(2) + (y - 0.6).powi(2))).exp()),
        ("a soft shadow", |x, y| 220.0 - 90.0 / (1.0 + (-(x + y - 1.1) * 25.0).exp())),
    ];
    for (case, light) in lights {
        let prepared = prepare(&seven.drawn((320, 240), light, |g| 0.3 * g), &ink_spec());
        assert_framed(&prepared, case);
        assert!(prepared.warnings.contains(&Warning::Inverted), "{case}");
        let differences = prepared.pixels.iter().zip(&even.pixels).map(|(a, b)| a.abs_diff(*b));
        let mean = differences.map(f64::from).sum::<f64>() / 784.0;
        assert!(mean < 8.0, "{case}: differs by {mean:.1}");
    }
}

#[test]
fn specks_and_edges_are_left_out() {
    let seven = Seven { left: 120.0, top: 60.0, size: 120.0 };
    let ground = |x: f64, y: f64| {
        let speck = (x - 0.1).abs() < 0.008 && (y - 0.9).abs() < 0.01;
        let table = x > 0.95;
        if speck || table { 60.0 } else { 225.0 }
    };
    assert_framed(
        &prepare(&seven.drawn((320, 240), ground, |_| 40.0), &ink_spec()),
        "speck, table",
    );
}

#[test]
fn hairlines_stay_visible() {
    let line =
        |x: u32, y: u32| if (100..102).contains(&x) && (40..200).contains(&y) { 30 } else { 235 };
    let pixels: Vec<u8> = (0..240).flat_map(|y| (0..240).map(move |x| line(x, y))).collect();
    let prepared = prepare(&pnm(240, 240, Channels::Grey, &pixels), &ink_spec());
    let full = prepared.pixels.iter().filter(|&&value| value > 200).count();
    assert!(full >= 20, "{full} pixels of full ink");
}

#[test]
fn what_looks_like_mnist_is_taken_as_it_is() {
    let seven = Seven { left: 3.6, top: 6.0, size: 21.2 };
    let light_on_dark = seven.drawn((28, 28), |_, _| 0.0, |_| 255.0);
    let original = &light_on_dark[light_on_dark.len() - 784..];
    let prepared = prepare(&light_on_dark, &ink_spec());
    assert_eq!(prepared.pixels, original);
    assert_eq!(prepared.region, Region { x: 0.0, y: 0.0, width: 28.0, height: 28.0 });
    assert_eq!(prepared.warnings, []);

    let dark_on_light = prepare(&seven.drawn((28, 28), |_, _| 255.0, |_| 0.0), &ink_spec());
    assert_eq!(dark_on_light.pixels, original);
    assert_eq!(dark_on_light.warnings, [Warning::Inverted]);
}

#[test]
fn a_small_digit_in_a_small_picture_is_framed_all_the_same() {
    let seven = Seven { left: 14.0, top: 13.0, size: 14.0 };
    assert_framed(&prepare(&seven.drawn((28, 28), |_, _| 0.0, |_| 255.0), &ink_spec()), "small");
}

#[test]
fn blank_pictures_are_shown_whole() {
    for level in [0, 128, 255] {
        let prepared = prepare(&pnm(60, 40, Channels::Grey, &[level; 2400]), &ink_spec());
        assert_eq!(prepared.pixels, [level; 784]);
        assert_eq!(prepared.region, Region { x: 0.0, y: 0.0, width: 60.0, height: 40.0 });
        assert_eq!(prepared.warnings, []);
    }
}

/// The region is where the digit is, in pixels of the picture, so that maps can be laid over it.
#[test]
fn the_region_surrounds_the_digit() {
    let seven = Seven { left: 500.0, top: 300.0, size: 200.0 };
    let prepared = prepare(&seven.drawn((1024, 768), |_, _| 230.0, |_| 30.0), &ink_spec());
    let Region { x, y, width, height } = prepared.region;
    let tall = 200.0 * (0.8 + 0.14);
    assert!((width - tall * 1.4).abs() < 10.0 && (width - height).abs() < 1e-6, "{width}×{height}");
    assert!(x < 500.0 && x + width > 660.0 && y < 306.0 && y + height > 494.0);
    assert!(!prepared.warnings.contains(&Warning::Upscaled));
}

#[test]
fn colour_networks_get_three_equal_channels() {
    let seven = Seven { left: 30.0, top: 20.0, size: 60.0 };
    let spec = InputSpec { channels: Channels::Colour, ..ink_spec() };
    let prepared = prepare(&seven.drawn((120, 100), |_, _| 230.0, |_| 40.0), &spec);
    assert_eq!(prepared.pixels.len(), spec.bytes());
    assert!(prepared.pixels.as_chunks::<3>().0.iter().all(|[r, g, b]| r == g && g == b));
}
