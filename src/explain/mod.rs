//! Where the network saw what it says: class confidence maps, laid over the picture.
//!
//! Global average pooling makes the score of a class the mean of a map, one value per position
//! (Lin, Chen & Yan 2013, section 3.2). That map comes free with every answer. It was never taught
//! where things are, only what is in a picture: what is read off it is *weakly supervised*
//! detection and segmentation, and coarse.
//!
//! ```text
//! class maps [K, h, w] ─ evidence, 0 to 1 ─ over the picture ─┬▶ strongest region: box, mask
//!                                                            └▶ heat map
//! ```
//!
//! # Evidence
//! `max(0, value - mean over all classes)` at each position, over its maximum. A softmax cares for
//! differences between classes only, so a value says nothing by itself: what is above the average
//! class speaks for the class. The best class of a picture always has some evidence, unless the
//! network tells nothing apart. With `nin-28` the values are probabilities and the mean is `1 / K`.
//!
//! # Place
//! A cell lies where the middle of its receptive field is ([`MapGrid`]), and from there goes
//! through the inverse of crop and resize into the picture as a person sees it. Between cells
//! values are interpolated bilinearly; the outermost are kept for half a cell more. Beyond, and where
//! the network was shown nothing, there is no evidence.
//!
//! [`MapGrid`]: crate::model::architecture::MapGrid

mod evidence;
mod heat;
mod region;

pub use evidence::Evidence;
pub use heat::{LONGEST_SIDE, overlay};
pub use region::{DEFAULT_THRESHOLD, Found, PixelBox, no_region, strongest};

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

/// A picture's size that keeps the aspect ratio of `size` (width, height), with sides of at most
/// `longest` and at least one pixel.
pub fn within(size: (u32, u32), longest: u32) -> (u32, u32) {
    let scale = (f64::from(longest) / f64::from(size.0.max(size.1))).min(1.0);
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    (side(size.0), side(size.1))
}

/// A PNG file.
pub fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let encoded = picture.into().write_to(&mut file, ImageFormat::Png);
    encoded.expect("PNG takes 8-bit grey and RGB of any size, and memory does not fail");
    file.into_inner()
}
