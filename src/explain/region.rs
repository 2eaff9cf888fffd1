//! The strongest connected region: where the network found the class.

use image::GrayImage;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Evidence, within};

/// Regions are looked for in the picture scaled to at most so many pixels on its longer side;
/// maps are coarser than that.
const LONGEST_SIDE: u32 = 512;

/// Share of the strongest evidence from which on a point belongs to a region. As low as usual with
/// class activation maps (Zhou et al. 2016, arXiv:1512.04150, section 3.2): the network needs to
/// see only parts of a thing to be sure of it.
pub const DEFAULT_THRESHOLD: f32 = 0.2;

/// Gaps narrower than this share of what the network was shown don't part a region: a network sure
/// of both ends of a stroke often passes over its middle.
const GAP: f64 = 1.0 / 20.0;

/// Where a class was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub bounds: PixelBox,
    /// 255 in the region, 0 elsewhere: the whole picture, scaled to at most 512 pixels on its
    /// longer side.
    pub mask: GrayImage,
}

/// A rectangle in picture pixels, after EXIF orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PixelBox {
    pub x: u32,
    pub y: u32,
    /// At least 1.
    pub width: u32,
    /// At least 1.
    pub height: u32,
}

/// The connected region of evidence of at least `threshold` (above 0, at most 1) that holds the
/// most evidence in all. None if there is no evidence in the picture, of `picture` (width, height)
/// pixels.
pub fn strongest(evidence: &Evidence, picture: (u32, u32), threshold: f32) -> Option<Found> {
    let (width, height) = within(picture, LONGEST_SIDE);
    let mut field = Field {
        strengths: evidence.enlarged(picture, (width, height)),
        near: Vec::new(),
        regions: vec![0; width as usize * height as usize],
        width: width as usize,
    };
    // Its own maximum: that of the map may lie beyond the picture or between its pixels.
    let largest = field.strengths.iter().copied().fold(0.0, f32::max);
    if largest <= 0.0 {
        return None;
    }
    field.cut_below(threshold * largest);
    let shown = evidence.shown.width.max(evidence.shown.height);
    let scale = f64::from(width) / f64::from(picture.0);
    field.bridge((shown * scale * GAP / 2.0).round() as usize);
    let (strongest, corners) = field.strongest()?;
    let bounds = to_picture(corners, (width, height), picture);
    let inside = |(&id, &strength): (&u32, &f32)| id == strongest && strength > 0.0;
    let pixels = field.regions.iter().zip(&field.strengths).map(inside);
    let pixels = pixels.map(|inside| if inside { 255 } else { 0 });
    let mask = GrayImage::from_raw(width, height, pixels.collect())
        .expect("there is one region id per pixel");
    Some(Found { bounds, mask })
}

/// The mask of a picture of `picture` (width, height) pixels in which nothing was found.
pub fn no_region(picture: (u32, u32)) -> GrayImage {
    let (width, height) = within(picture, LONGEST_SIDE);
    GrayImage::new(width, height)
}

/// Evidence on pixels, and the region that each belongs to.
struct Field {
    strengths: Vec<f32>,
    /// What holds evidence, and the gaps to bridge.
    near: Vec<bool>,
    /// From 1; 0 is none.
    regions: Vec<u32>,
    width: usize,
}

/// The first and last pixel of a region along each axis.
#[derive(Debug, Clone, Copy)]
struct Corners {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Field {
    fn cut_below(&mut self, level: f32) {
        for strength in &mut self.strengths {
            if *strength < level {
                *strength = 0.0;
            }
        }
    }

    /// Counts what is up to `reach` pixels from evidence, along both axes, as connected to it.
    fn bridge(&mut self, reach: usize) {
        let Self { strengths, width, .. } = self;
        let mut rows = vec![false; strengths.len()];
        for index in (0..strengths.len()).filter(|&index| strengths[index] > 0.0) {
            let start = index - index % *width;
            let last = (index + reach).min(start + *width - 1);
            rows[index.saturating_sub(reach).max(start)..=last].fill(true);
        }
        self.near = vec![false; rows.len()];
        for index in (0..rows.len()).filter(|&index| rows[index]) {
            let first = index - (index / *width).min(reach) * *width;
            let last = (index + reach * *width + 1).min(rows.len());
            self.near[first..last].iter_mut().step_by(*width).for_each(|near| *near = true);
        }
    }

    fn strongest(&mut self) -> Option<(u32, Corners)> {
        let mut best: Option<(f64, u32, Corners)> = None;
        let mut id = 0;
        for start in 0..self.strengths.len() {
            if self.strengths[start] > 0.0 && self.regions[start] == 0 {
                id += 1;
                let (sum, corners) = self.fill(start, id);
                if best.is_none_or(|(most, ..)| sum > most) {
                    best = Some((sum, id, corners));
                }
            }
        }
        best.map(|(_, id, corners)| (id, corners))
    }

    /// Gives `id` to all that is connected to `start`, and sums up its evidence.
    fn fill(&mut self, start: usize, id: u32) -> (f64, Corners) {
        let place = |index: usize| (index % self.width, index / self.width);
        let (x, y) = place(start);
        let mut corners = Corners { left: x, top: y, right: x, bottom: y };
        let mut sum = 0.0;
        let mut open = vec![start];
        self.regions[start] = id;
        while let Some(index) = open.pop() {
            let (x, y) = place(index);
            if self.strengths[index] > 0.0 {
                sum += f64::from(self.strengths[index]);
                corners.left = corners.left.min(x);
                corners.right = corners.right.max(x);
                corners.top = corners.top.min(y);
                corners.bottom = corners.bottom.max(y);
            }
            let neighbours = [
                (x > 0).then(|| index - 1),
                (x + 1 < self.width).then_some(index + 1),
                index.checked_sub(self.width),
                Some(index + self.width).filter(|&below| below < self.strengths.len()),
            ];
            for next in neighbours.into_iter().flatten() {
                if self.near[next] && self.regions[next] == 0 {
                    self.regions[next] = id;
                    open.push(next);
                }
            }
        }
        (sum, corners)
    }
}

/// From pixels of the scaled picture, of `scaled` (width, height), to those of `picture`.
fn to_picture(corners: Corners, scaled: (u32, u32), picture: (u32, u32)) -> PixelBox {
    let span = |first: usize, last: usize, scaled: u32, full: u32| {
        let zoom = f64::from(full) / f64::from(scaled);
        let start = (first as f64 * zoom).floor() as u32;
        let end = ((last + 1) as f64 * zoom).ceil() as u32;
        (start, end.min(full) - start)
    };
    let (x, width) = span(corners.left, corners.right, scaled.0, picture.0);
    let (y, height) = span(corners.top, corners.bottom, scaled.1, picture.1);
    PixelBox { x, y, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClassMaps;
    use crate::model::architecture::MapGrid;
    use crate::preprocess::{Channels, InputSpec, Region};

    const SIDE: usize = 8;

    /// Evidence on 8 × 8 cells over a picture of that size in pixels.
    fn evidence(cells: &[(usize, usize, f32)], picture: (u32, u32)) -> Evidence {
        let mut values = vec![0.0; 2 * SIDE * SIDE];
        for &(x, y, value) in cells {
            values[y * SIDE + x] = value;
        }
        let grid = MapGrid { offset: 0.5, stride: 1.0 };
        let maps = ClassMaps { width: SIDE, height: SIDE, values, ground: None, grid };
        let (width, height) = (f64::from(picture.0), f64::from(picture.1));
        let shown = Region { x: 0.0, y: 0.0, width, height };
        Evidence::new(0, &maps, shown, &InputSpec::plain(8, 8, Channels::Grey))
    }

    #[test]
    fn the_region_with_most_evidence_wins_over_the_highest_point() {
        let broad = [(5, 5, 0.8), (6, 5, 0.8), (5, 6, 0.8), (6, 6, 0.8)];
        let cells = [&[(1, 1, 1.0)][..], &broad].concat();
        let found = strongest(&evidence(&cells, (8, 8)), (8, 8), 0.5).expect("a region");
        assert_eq!(found.bounds, PixelBox { x: 5, y: 5, width: 2, height: 2 });
        assert_eq!(found.mask.get_pixel(6, 6).0, [255]);
        assert_eq!(found.mask.get_pixel(1, 1).0, [0]);
        assert_eq!(found.mask.pixels().filter(|pixel| pixel.0 == [255]).count(), 4);
    }

    #[test]
    fn a_lower_threshold_gives_a_larger_box() {
        let evidence = evidence(&[(2, 3, 1.0), (3, 3, 0.4), (4, 3, 0.3)], (8, 8));
        let width =
            |threshold| strongest(&evidence, (8, 8), threshold).map(|found| found.bounds.width);
        assert_eq!((width(1.0), width(0.35), width(0.2)), (Some(1), Some(2), Some(3)));
    }

    #[test]
    fn boxes_of_large_pictures_are_in_their_pixels() {
        let size = (4096, 2048);
        let found = strongest(&evidence(&[(7, 0, 1.0)], size), size, 0.99).expect("a region");
        assert_eq!((found.mask.width(), found.mask.height()), (512, 256));
        let PixelBox { x, y, width, height } = found.bounds;
        assert_eq!((x + width, y), (4096, 0), "the last cell is kept up to the edge");
        assert!((3830..=3850).contains(&x), "{x}: the middle of the cell is at 3840");
        assert!((120..=140).contains(&height), "{height}: the middle is at 128");
    }

    #[test]
    fn narrow_gaps_do_not_part_a_region() {
        let width = |second: usize| {
            let cells = [(0, 0, 1.0), (second, 0, 1.0)];
            let found = strongest(&evidence(&cells, (160, 160)), (160, 160), 0.99);
            found.map_or(0, |found| found.bounds.width)
        };
        // Cells are 20 pixels wide, so that the first gap is one of 20, too wide for 160 pixels.
        assert!(width(2) < 20, "{}", width(2));
        let mut fine = evidence(&[], (160, 160));
        (fine.width, fine.height) = (160, 1);
        let apart =
            |gap: usize| (0..160).map(move |x| if x == 0 || x == gap + 1 { 1.0 } else { 0.0 });
        let mut width = |gap: usize| {
            fine.strengths = apart(gap).collect();
            strongest(&fine, (160, 160), 0.99).map_or(0, |found| found.bounds.width)
        };
        assert_eq!((width(6), width(9)), (8, 1));
    }

    #[test]
    fn no_evidence_no_region() {
        assert_eq!(strongest(&evidence(&[], (8, 8)), (8, 8), 0.2), None);
    }

    #[test]
    fn pictures_of_one_pixel_have_a_box() {
        let found = strongest(&evidence(&[(4, 4, 1.0)], (1, 1)), (1, 1), 0.2).expect("a region");
        assert_eq!(found.bounds, PixelBox { x: 0, y: 0, width: 1, height: 1 });
    }
}
