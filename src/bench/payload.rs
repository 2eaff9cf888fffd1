//! Pictures to send, made by the program itself: the same bytes in every run.

use anyhow::Context;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::bench::SEED;

/// Pictures of one kind. Several, so that no cache sees the same bytes again and again.
#[derive(Debug)]
pub struct Payload {
    pub name: &'static str,
    pub files: Vec<Vec<u8>>,
}

pub const TINY: &str = "32×32 JPEG";
pub const PHOTO: &str = "500×375 JPEG";
pub const LARGE: &str = "4000×3000 JPEG";
pub const PNG: &str = "1024×768 PNG";

const QUALITY: u8 = 90;
/// Amplitude of the noise, in grey levels. With it a photo takes about 100 kB.
const GRAIN: f32 = 52.0;
/// Cameras' pictures of 12 megapixels take 3 to 5 MB: less detail in a pixel.
const FINE_GRAIN: f32 = 20.0;

/// All four kinds.
pub fn all() -> anyhow::Result<Vec<Payload>> {
    Ok(vec![
        Payload { name: TINY, files: files(8, |seed| jpeg(&textured((32, 32), GRAIN, seed)))? },
        Payload { name: PHOTO, files: files(8, |seed| jpeg(&textured((500, 375), GRAIN, seed)))? },
        Payload {
            name: LARGE,
            files: files(2, |seed| jpeg(&textured((4000, 3000), FINE_GRAIN, seed)))?,
        },
        Payload { name: PNG, files: files(2, |seed| png(&textured((1024, 768), GRAIN, seed)))? },
    ])
}

fn files(
    count: u64,
    file: impl Fn(u64) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<Vec<u8>>> {
    (0..count).map(|index| file(SEED + index)).collect()
}

/// Slow waves of colour, edges, and grain over all.
pub fn textured((width, height): (u32, u32), grain: f32, seed: u64) -> RgbImage {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let waves: [[f32; 3]; 3] =
        std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(3.0..24.0)));
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        // The same in all channels, as the noise of light is.
        let noise = grain * (rng.next_u32() as f32 / u32::MAX as f32 - 0.5);
        let edge =
            if ((u * 7.0) as u32 + (v * 5.0) as u32).is_multiple_of(2) { 18.0 } else { -18.0 };
        image::Rgb(waves.map(|[a, b, c]| {
            (128.0 + 70.0 * (a * u + c).sin() * (b * v).cos() + edge + noise) as u8
        }))
    })
}

fn jpeg(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY).encode_image(picture).context("encoding")?;
    Ok(file)
}

fn png(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .context("encoding")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_takes_about_100_kb() {
        let file = jpeg(&textured((500, 375), GRAIN, SEED)).expect("encodable");
        assert!((90_000..110_000).contains(&file.len()), "{}", file.len());
    }
}
