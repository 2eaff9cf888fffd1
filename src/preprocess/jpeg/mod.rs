//! A JPEG → a smaller picture, straight from its frequencies.
//!
//! A JPEG stores blocks of 8×8 samples as the amounts of 64 cosines (ITU-T T.81, A.3.3). Decoding and
//! resizing are both linear, so an output pixel is a weighted sum of those amounts, and a cosine's
//! weight is the resize filter's product with it. A filter as wide as a block and wider has next to
//! nothing to do with any but the slowest cosines: all others need not be turned into pixels, nor be
//! read for more than their length. A narrow filter takes all 64, and the result is that of decoding in
//! full, but for the rounding in between, of which what is not evened out is done here as well.
//!
//! Only the common kind of file is read: baseline or extended Huffman coding, 8 bits, one scan, grey
//! or YCbCr. All else, and whatever is not as it should be, is left to the decoder of full pictures.

mod ahead;
mod axis;
mod bits;
mod entropy;
mod huffman;
mod markers;
mod plane;
mod vectors;

use std::rc::Rc;

use super::convert::Raster;
use super::{Channels, Region};
use axis::{Axes, Side};
use markers::Component;
use plane::Plane;
use vectors::Loops;

/// `region` of a JPEG, scaled to `size` (width, height); both as stored, before EXIF orientation. The
/// filter is the antialiased bilinear one.
///
/// `None` if the file is of another kind, is broken, or is not much larger than `size`.
pub(super) fn shrink(
    bytes: &[u8],
    region: Region,
    size: (u32, u32),
    channels: Channels,
) -> Option<Raster> {
    let scale = (region.width / f64::from(size.0)).min(region.height / f64::from(size.1));
    let fewest = match channels {
        Channels::Colour => FEWEST_BLOCKS,
        Channels::Grey => FEWEST_BLOCKS_OF_GREY,
    };
    if scale < fewest * 8.0 {
        return None;
    }
    let picture = markers::read(bytes)?;
    let axes = |component: &Component, enough| {
        let (across, down) = picture.steps(component)?;
        let blocks = scale / (8 * across.max(down)) as f64;
        let side = |length, shown, outputs, step| Side { length, shown, outputs, step };
        let horizontal = side(picture.width, (region.x, region.width), size.0, across);
        let vertical = side(picture.height, (region.y, region.height), size.1, down);
        Some(Rc::new(Axes::new(horizontal, vertical, enough / blocks)))
    };
    // Grey is the first component.
    let wanted = picture.components.len().min(channels.count());
    let [brightness, colours @ ..] = picture.components.get(..wanted)? else { return None };
    let units = picture.units().0;
    let mut planes = vec![Plane::new(brightness, units, axes(brightness, ENOUGH)?)];
    if let [blue, red] = colours {
        (blue.blocks == red.blocks).then_some(())?;
        let axes = axes(blue, ENOUGH_OF_COLOUR)?;
        planes.extend([blue, red].map(|colour| Plane::new(colour, units, Rc::clone(&axes))));
    }
    entropy::decode(bytes, &picture, &mut planes)?;
    let (width, height) = size;
    let (channels, pixels) = match planes.as_slice() {
        [y] => (Channels::Grey, y.samples().iter().map(|y| quantise(y + LEVEL_SHIFT)).collect()),
        [y, cb, cr] => (Channels::Colour, rgb(y, cb, cr)),
        _ => return None,
    };
    Some(Raster { width, height, channels, pixels })
}

/// T.81 stores samples less this.
const LEVEL_SHIFT: f32 = 128.0;

/// Blocks to a pixel of the output, along a side, from which on it is hardly ever slower than decoding in
/// full: by 0.1 ms at most of what was measured, in small and in smooth pictures. Two threads gain more.
const FEWEST_BLOCKS: f64 = 0.25;
/// Grey was as fast or faster in all that was measured, however little there was to be scaled down: colours
/// are passed over.
const FEWEST_BLOCKS_OF_GREY: f64 = 0.13;
/// Frequencies that count, along both sides together, times blocks to a pixel of the output. So many that
/// the answers are those of decoding in full: docs/performance.md, "Straight from the frequencies".
const ENOUGH: f64 = 4.2;
/// Of colour, networks were found to need less.
const ENOUGH_OF_COLOUR: f64 = 2.0;

/// `[H, W, 3]` (ITU-T T.871).
fn rgb(y: &Plane, cb: &Plane, cr: &Plane) -> Vec<u8> {
    let mut pixels = vec![0; 3 * y.samples().len()];
    vectors::run(Rgb { planes: [y, cb, cr], pixels: pixels.as_chunks_mut().0 });
    pixels
}

struct Rgb<'a> {
    planes: [&'a Plane; 3],
    pixels: &'a mut [[u8; 3]],
}

impl Loops for Rgb<'_> {
    #[inline(always)]
    fn run(self) {
        let [y, cb, cr] = self.planes.map(Plane::samples);
        for (pixel, ((y, cb), cr)) in self.pixels.iter_mut().zip(y.iter().zip(cb).zip(cr)) {
            let y = y + LEVEL_SHIFT;
            let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
            *pixel = rgb.map(quantise);
        }
    }
}

/// Rounded and clipped.
#[inline(always)]
fn quantise(value: f32) -> u8 {
    // By way of `i32`, for which there are instructions.
    (value + 0.5).clamp(0.0, 255.0) as i32 as u8
}
