//! Whatever a decoder yields → 8-bit grey or RGB without alpha.

use image::DynamicImage;

use super::{ChannelOrder, Channels, InputSpec};

/// Row-major 8-bit pixels, `[H, W, C]` with `C` 1 or 3 (RGB).
#[derive(Debug, Clone)]
pub(super) struct Raster {
    pub width: u32,
    pub height: u32,
    pub channels: Channels,
    pub pixels: Vec<u8>,
}

impl Raster {
    pub fn inverted(mut self) -> Self {
        self.pixels.iter_mut().for_each(|value| *value = 255 - *value);
        self
    }

    /// Grey values, `[H, W]`.
    pub fn luma(&self) -> Vec<u8> {
        match self.channels {
            Channels::Grey => self.pixels.clone(),
            Channels::Colour => self.pixels.as_chunks().0.iter().map(|&rgb| luma(rgb)).collect(),
        }
    }

    /// The pixels with the channel count and order of `spec`.
    pub fn into_network_order(self, spec: &InputSpec) -> Vec<u8> {
        let mut pixels = match (self.channels, spec.channels) {
            (Channels::Grey, Channels::Colour) => {
                self.pixels.iter().flat_map(|&grey| [grey; 3]).collect()
            }
            (Channels::Colour, Channels::Grey) => self.luma(),
            _ => self.pixels,
        };
        if spec.channels == Channels::Colour && spec.order == ChannelOrder::Bgr {
            for [red, _, blue] in pixels.as_chunks_mut().0 {
                std::mem::swap(red, blue);
            }
        }
        pixels
    }
}

/// ITU-R 601-2 luma in Pillow's fixed point, so that grey networks see what they were trained on.
pub(super) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

/// 16 bits → 8 bits, rounded to nearest: 65535 → 255.
fn narrow(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32_767) / 65_535) as u8
}

/// 0.0–1.0 → 8 bits; what lies outside is clipped, NaN becomes 0.
fn quantise(value: f32) -> u8 {
    (value * 255.0).round() as u8
}

/// Flattens alpha on `background` and turns colours to grey where `channels` asks for it. Grey
/// pictures stay grey: they are cheaper to resize, and [`Raster::into_network_order`] widens them.
/// The second value tells whether any pixel let the background through.
pub(super) fn to_raster(
    image: DynamicImage,
    channels: Channels,
    background: [u8; 3],
) -> (Raster, bool) {
    use DynamicImage::*;
    let (width, height) = (image.width(), image.height());
    let mut sink = Sink::new(channels, background, width as usize * height as usize);
    let (channels, pixels) = match image {
        ImageLuma8(buffer) => (Channels::Grey, buffer.into_raw()),
        ImageLuma16(buffer) => {
            (Channels::Grey, buffer.iter().map(|&value| narrow(value)).collect())
        }
        ImageRgb8(buffer) if channels == Channels::Colour => (channels, buffer.into_raw()),
        ImageRgb8(buffer) => sink.fill(buffer.pixels().map(|p| (p.0, 255))),
        ImageLumaA8(buffer) => sink.fill(buffer.pixels().map(|p| ([p[0]; 3], p[1]))),
        ImageRgba8(buffer) => sink.fill(buffer.pixels().map(|p| ([p[0], p[1], p[2]], p[3]))),
        ImageLumaA16(buffer) => {
            sink.fill(buffer.pixels().map(|p| ([narrow(p[0]); 3], narrow(p[1]))))
        }
        ImageRgb16(buffer) => sink.fill(buffer.pixels().map(|p| (p.0.map(narrow), 255))),
        ImageRgba16(buffer) => sink.fill(buffer.pixels().map(|p| {
            let [red, green, blue, alpha] = p.0.map(narrow);
            ([red, green, blue], alpha)
        })),
        ImageRgb32F(buffer) => sink.fill(buffer.pixels().map(|p| (p.0.map(quantise), 255))),
        other => sink.fill(other.into_rgba32f().pixels().map(|p| {
            let [red, green, blue, alpha] = p.0.map(quantise);
            ([red, green, blue], alpha)
        })),
    };
    let raster = Raster { width, height, channels, pixels };
    (raster, sink.flattened)
}

/// Where converted pixels go.
struct Sink {
    channels: Channels,
    background: [u8; 3],
    count: usize,
    flattened: bool,
}

impl Sink {
    fn new(channels: Channels, background: [u8; 3], count: usize) -> Self {
        Self { channels, background, count, flattened: false }
    }

    fn fill(&mut self, pixels: impl Iterator<Item = ([u8; 3], u8)>) -> (Channels, Vec<u8>) {
        let mut out = Vec::with_capacity(self.count * self.channels.count());
        for (colour, alpha) in pixels {
            let colour = if alpha == 255 {
                colour
            } else {
                self.flattened = true;
                over(colour, alpha, self.background)
            };
            match self.channels {
                Channels::Grey => out.push(luma(colour)),
                Channels::Colour => out.extend_from_slice(&colour),
            }
        }
        (self.channels, out)
    }
}

/// `colour` with opacity `alpha` over an opaque `ground`, rounded to nearest.
fn over(colour: [u8; 3], alpha: u8, ground: [u8; 3]) -> [u8; 3] {
    std::array::from_fn(|i| {
        let sum = u32::from(colour[i]) * u32::from(alpha)
            + u32::from(ground[i]) * (255 - u32::from(alpha));
        ((sum + 127) / 255) as u8
    })
}
