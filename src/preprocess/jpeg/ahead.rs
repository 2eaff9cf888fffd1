//! The second half of a scan, read before anybody knows which blocks are in it.
//!
//! Huffman codes fall into step by themselves: who begins to read anywhere, soon reads the same codes as
//! who has read from the start (Klein and Wiseman, Parallel Huffman decoding with applications to JPEG
//! files, The Computer Journal 46 (5), 2003). From where both find a minimum coded unit begin at the same
//! bit, all that follows is the same, but for what dc coefficients are the differences to.

use super::bits::Bits;
use super::entropy::Codes;
use super::plane::Stored;

/// Components of a picture at most.
const COMPONENTS: usize = 3;

/// What was read.
pub(super) struct Ahead {
    /// Ascending.
    starts: Vec<Start>,
    stored: Vec<Stored>,
}

/// Where a minimum coded unit begins.
struct Start {
    /// Bits before it.
    taken: usize,
    /// What its first dc coefficients are the differences to.
    predictions: [i32; COMPONENTS],
}

impl Ahead {
    /// Reads `data` from the byte at `at` to the end. What can't be read was no unit, so that it begins anew
    /// behind it; so it does where there are more than `most` units.
    pub(super) fn read(
        data: &[u8],
        (mut at, most): (usize, usize),
        (codes, mut stored): (&Codes, Vec<Stored>),
    ) -> Option<Self> {
        let (mut starts, mut channels) = (Vec::new(), codes.channels(&mut stored)?);
        let mut bits = Bits::new(data, at);
        while bits.left().is_some_and(|left| left >= 8) {
            let mut predictions = [0; COMPONENTS];
            for (prediction, channel) in predictions.iter_mut().zip(&channels) {
                *prediction = channel.prediction;
            }
            starts.push(Start { taken: bits.taken(), predictions });
            let mut units = channels.iter_mut().map(|channel| {
                channel.sink.iter_mut().for_each(|stored| stored.begin_unit());
                channel.unit(&mut bits, 0)
            });
            if units.any(|unit| unit.is_none()) || starts.len() > most {
                at = bits.taken().div_ceil(8).max(at + 1);
                bits = Bits::new(data, at);
                starts.clear();
                for channel in &mut channels {
                    channel.prediction = 0;
                    channel.sink.iter_mut().for_each(|stored| stored.clear());
                }
            }
        }
        if bits.left().is_none() {
            // The last was no unit, so the others may be none.
            starts.clear();
        }
        Some(Self { starts, stored })
    }

    /// The unit that begins after so many bits.
    pub(super) fn find(&self, taken: usize) -> Option<usize> {
        self.starts.binary_search_by_key(&taken, |start| start.taken).ok()
    }

    /// The unit that begins after so many bits, and what its dc coefficients were taken to be the
    /// differences to; `None` if it and those after it are not as many as are `left` of the picture.
    pub(super) fn from(&self, taken: usize, left: usize) -> Option<(usize, &[i32; COMPONENTS])> {
        let first = self.find(taken)?;
        (self.starts.len() - first == left).then(|| (first, &self.starts[first].predictions))
    }

    /// The blocks of the component at `index` in `count` units, see [`Stored`].
    pub(super) fn units(&self, index: usize, first: usize, count: usize) -> Option<&[f32]> {
        self.stored.get(index)?.units(first, count)
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{DynamicImage, RgbImage};

    use super::super::bits::unstuff;
    use super::super::{markers, shrink};
    use super::*;
    use crate::pair::tests::beside;
    use crate::preprocess::{Channels, Region};

    /// Noise that is smoother in its lower half.
    fn noise() -> DynamicImage {
        let mut state = 1u32;
        let picture = RgbImage::from_fn(400, 300, |x, y| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = (state >> if y < 150 { 25 } else { 28 }) as u8;
            image::Rgb([grain, (x / 2) as u8, grain / 2 + (y / 3) as u8])
        });
        picture.into()
    }

    fn jpeg(picture: &DynamicImage) -> Vec<u8> {
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, 90).encode_image(picture).expect("encodable");
        file
    }

    #[test]
    fn two_threads_see_what_one_sees() {
        let colour = noise();
        let mut files = vec![jpeg(&colour), jpeg(&colour.to_luma8().into())];
        for name in ["baseline", "422", "444", "restarts", "grey"] {
            files.push(std::fs::read(format!("tests/fixtures/pictures/{name}.jpg")).expect(name));
        }
        let broken = |cut: usize| [&files[0][..cut], &files[0][cut + 40..]].concat();
        files.extend([3, 2].map(|part| broken(files[0].len() / part)));
        for (index, file) in files.iter().enumerate() {
            let size =
                image::load_from_memory(file).map_or((400, 300), |i| (i.width(), i.height()));
            let small = (size.0.div_ceil(12), size.1.div_ceil(12));
            let run = || shrink(file, Region::whole(size), small, Channels::Colour);
            let pixels = [run(), beside(run)].map(|raster| raster.map(|raster| raster.pixels));
            assert!(pixels[0] == pixels[1], "{index}");
            assert!(pixels[0].is_some() || index >= 7, "{index}");
        }
    }

    #[test]
    fn it_comes_into_step() {
        let file = jpeg(&noise());
        let picture = markers::read(&file).expect("a picture");
        let codes = Codes::new(&picture);
        let mut data = Vec::new();
        unstuff(&file, picture.scan, &mut data).expect("an end");
        let units = picture.units().0 * picture.units().1;
        let whole = Ahead::read(&data, (0, units), (&codes, Vec::new())).expect("codes");
        let half =
            Ahead::read(&data, (data.len() / 2, units), (&codes, Vec::new())).expect("codes");
        assert_eq!(whole.starts.len(), units);
        let met = half.starts.iter().find(|start| whole.find(start.taken).is_some());
        let left = half.starts.len() - half.find(met.expect("in step").taken).unwrap_or(0);
        assert!(left > units / 4, "{left} of {units}");
    }
}
