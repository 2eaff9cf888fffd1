//! Digits drawn with code: thick antialiased strokes, on paper or on a blackboard.

use image::{DynamicImage, GrayImage, ImageFormat, Luma};

/// A point in a unit square, y downwards.
pub type Point = (f64, f64);

/// How a digit is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawing {
    /// Of the square picture, pixels.
    pub side: u32,
    /// Of the digit's box within the picture, 0 to 1; the rest is margin.
    pub size: f64,
    /// Grey of ink and ground.
    pub ink: u8,
    pub ground: u8,
}

pub const ON_PAPER: Drawing = Drawing { side: 200, size: 0.6, ink: 25, ground: 245 };
pub const ON_BLACK: Drawing = Drawing { side: 28, size: 0.7, ink: 255, ground: 0 };

impl Drawing {
    pub fn draw(self, digit: u8) -> GrayImage {
        let side = f64::from(self.side);
        let (scale, margin) = (side * self.size, side * (1.0 - self.size) / 2.0);
        let radius = scale * 0.065;
        let place = |(x, y): Point| (margin + x * scale, margin + y * scale);
        let lines: Vec<Vec<Point>> =
            lines(digit).iter().map(|line| line.iter().copied().map(place).collect()).collect();
        GrayImage::from_fn(self.side, self.side, |x, y| {
            let at = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            let segments = lines.iter().flat_map(|line| line.windows(2));
            let nearest =
                segments.map(|ends| distance(at, ends[0], ends[1])).fold(f64::MAX, f64::min);
            let cover = (radius - nearest + 0.5).clamp(0.0, 1.0);
            let (ink, ground) = (f64::from(self.ink), f64::from(self.ground));
            Luma([(ground + (ink - ground) * cover).round() as u8])
        })
    }
}

/// Encodes a picture.
pub fn encode(picture: &GrayImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    // WebP has no grey of its own.
    let picture = match format {
        ImageFormat::WebP => DynamicImage::ImageLuma8(picture.clone()).to_rgb8().into(),
        _ => DynamicImage::ImageLuma8(picture.clone()),
    };
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

fn distance((x, y): Point, a: Point, b: Point) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((x - a.0) * dx + (y - a.1) * dy) / length } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    (x - a.0 - along * dx).hypot(y - a.1 - along * dy)
}

/// An arc of an ellipse, degrees clockwise from the right.
fn arc(centre: Point, radii: Point, from: f64, to: f64) -> Vec<Point> {
    let point = |step: u32| {
        let angle = (from + (to - from) * f64::from(step) / 24.0).to_radians();
        (centre.0 + radii.0 * angle.cos(), centre.1 + radii.1 * angle.sin())
    };
    (0..=24).map(point).collect()
}

/// The lines of a digit as people write it.
pub fn lines(digit: u8) -> Vec<Vec<Point>> {
    match digit {
        0 => vec![arc((0.5, 0.5), (0.3, 0.46), 0.0, 360.0)],
        1 => vec![vec![(0.55, 0.04), (0.47, 0.96)]],
        2 => vec![
            [arc((0.5, 0.3), (0.28, 0.26), 190.0, 380.0), vec![(0.2, 0.93), (0.84, 0.93)]].concat(),
        ],
        3 => vec![
            arc((0.45, 0.28), (0.27, 0.24), 200.0, 450.0),
            arc((0.45, 0.73), (0.3, 0.23), 270.0, 510.0),
        ],
        4 => vec![vec![(0.28, 0.06), (0.2, 0.52), (0.8, 0.52)], vec![(0.72, 0.06), (0.66, 0.96)]],
        7 => vec![vec![(0.16, 0.08), (0.82, 0.08), (0.42, 0.96)]],
        8 => vec![
            arc((0.5, 0.28), (0.22, 0.22), 0.0, 360.0),
            arc((0.5, 0.73), (0.27, 0.23), 0.0, 360.0),
        ],
        _ => panic!("{digit} is not drawn here"),
    }
}
