//! Evidence as colours over the picture.

use colorgrad::{Gradient, preset};
use image::{Rgb, RgbImage};

use super::Evidence;

/// Longer side of the pictures that [`overlay`] is given, at most, pixels.
pub const LONGEST_SIDE: u32 = 1280;

/// The part of inferno that is used: its ends would be lost on black and on white pictures.
const COLOURS: (f32, f32) = (0.15, 0.85);
/// How much of the strongest colour covers the picture.
const COVER: f32 = 0.7;
/// Evidence from which on colours cover fully.
const FULL: f32 = 0.45;

/// Lays the evidence over `view`: the picture, of `picture` (width, height) pixels, perhaps scaled
/// down. The more evidence the lighter the colour (inferno, whose lightness rises evenly) and the
/// denser; the picture stays as it is where there is none.
pub fn overlay(view: &mut RgbImage, picture: (u32, u32), evidence: &Evidence) {
    let gradient = preset::inferno();
    let colours: Vec<[u8; 3]> = (0..=255u8)
        .map(|level| {
            let (first, last) = COLOURS;
            let at = first + (last - first) * f32::from(level) / 255.0;
            let [red, green, blue, _] = gradient.at(at).to_rgba8();
            [red, green, blue]
        })
        .collect();
    let strengths = evidence.enlarged(picture, view.dimensions());
    for (Rgb(pixel), strength) in view.pixels_mut().zip(strengths) {
        let colour = colours[(strength * 255.0).round() as usize];
        let ramp = (strength / FULL).min(1.0);
        let cover = COVER * ramp * ramp * (3.0 - 2.0 * ramp);
        for (value, heat) in pixel.iter_mut().zip(colour) {
            *value =
                (f32::from(*value) + (f32::from(heat) - f32::from(*value)) * cover).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClassMaps;
    use crate::model::architecture::MapGrid;
    use crate::preprocess::{Channels, InputSpec, Region};

    #[test]
    fn strong_evidence_glows_and_the_rest_stays() {
        let values = vec![1.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let grid = MapGrid { offset: 0.5, stride: 1.0 };
        let maps = ClassMaps { width: 4, height: 1, values, ground: None, grid };
        let shown = Region { x: 0.0, y: 0.0, width: 4.0, height: 1.0 };
        let evidence = Evidence::new(0, &maps, shown, &InputSpec::plain(4, 1, Channels::Grey));
        let grey = Rgb([90u8; 3]);
        let mut view = RgbImage::from_pixel(4, 1, grey);
        overlay(&mut view, (4, 1), &evidence);
        let light = |x| view.get_pixel(x, 0).0.iter().map(|&value| u32::from(value)).sum::<u32>();
        assert!(light(0) > 380, "{view:?}: a bright orange");
        assert_ne!(view.get_pixel(1, 0), &grey);
        assert!(light(1) < light(0));
        assert_eq!((view.get_pixel(2, 0), view.get_pixel(3, 0)), (&grey, &grey));
    }
}
