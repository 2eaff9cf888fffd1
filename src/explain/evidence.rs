//! One class's map, as evidence over the picture.

use crate::model::ClassMaps;
use crate::preprocess::{InputSpec, Region};

/// The confidence map of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Cells along each axis.
    pub width: usize,
    pub height: usize,
    /// `[height, width]`, row-major: what the network put out. Their mean is the class's logit or,
    /// where the softmax comes before the pooling, its probability.
    pub values: Vec<f32>,
    /// `[height, width]`, row-major: what speaks for the class, 0 to 1. What exceeds the mean of the
    /// classes and, where positions vote, does so by more than on bare ground; over its largest.
    pub strengths: Vec<f32>,
    /// What the cells cover, in picture pixels; each covers its share.
    pub area: Region,
    /// What the network was shown, in picture pixels.
    pub shown: Region,
}

impl Evidence {
    /// The map of `class`, which must be one of the maps' classes. `shown` is the region of the
    /// picture that the network saw, scaled to the size of `input`.
    pub fn new(class: usize, maps: &ClassMaps, shown: Region, input: &InputSpec) -> Self {
        let ClassMaps { width, height, ref values, ref ground, grid } = *maps;
        let cells = width * height;
        let values_of = values[class * cells..][..cells].to_vec();
        // The cells' own areas touch, though their receptive fields overlap.
        let first = grid.offset - grid.stride / 2.0;
        let (across, down) =
            (shown.width / f64::from(input.width), shown.height / f64::from(input.height));
        let area = Region {
            x: shown.x + first * across,
            y: shown.y + first * down,
            width: width as f64 * grid.stride * across,
            height: height as f64 * grid.stride * down,
        };
        let ground = ground.as_ref().map_or(0.0, |ground| above_mean(class, ground.iter()));
        let above_ground =
            |cell: usize| above_mean(class, values.iter().skip(cell).step_by(cells)) - ground;
        let strengths = strengths((0..cells).map(above_ground), values);
        Self { width, height, values: values_of, strengths, area, shown }
    }

    /// Evidence at a point of the picture, in its pixels.
    pub fn at(&self, x: f64, y: f64) -> f32 {
        let Self { shown, area, .. } = self;
        let half = (area.width / self.width as f64 / 2.0, area.height / self.height as f64 / 2.0);
        if !is_within((x, y), *shown, (0.0, 0.0)) || !is_within((x, y), *area, half) {
            return 0.0;
        }
        let (left, right, across) = neighbours((x - area.x) / area.width, self.width);
        let (top, bottom, down) = neighbours((y - area.y) / area.height, self.height);
        let cell = |column: usize, row: usize| self.strengths[row * self.width + column];
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        mix(
            mix(cell(left, top), cell(right, top), across),
            mix(cell(left, bottom), cell(right, bottom), across),
            down,
        )
    }

    /// Evidence at the middle of each pixel of the picture, of `picture` (width, height) pixels,
    /// scaled to `size`; row-major.
    pub fn enlarged(&self, picture: (u32, u32), size: (u32, u32)) -> Vec<f32> {
        let across = f64::from(picture.0) / f64::from(size.0);
        let down = f64::from(picture.1) / f64::from(size.1);
        let points = (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y)));
        points
            .map(|(x, y)| self.at((f64::from(x) + 0.5) * across, (f64::from(y) + 0.5) * down))
            .collect()
    }
}

/// Whether a point lies in an area with margins at its sides and at top and bottom.
fn is_within((x, y): (f64, f64), area: Region, (across, down): (f64, f64)) -> bool {
    let within = |at: f64, start: f64, length: f64, margin: f64| {
        (start - margin..=start + length + margin).contains(&at)
    };
    within(x, area.x, area.width, across) && within(y, area.y, area.height, down)
}

/// How far the value of `class` exceeds the mean of those of all classes.
fn above_mean<'a>(class: usize, values: impl ExactSizeIterator<Item = &'a f32> + Clone) -> f32 {
    let mean = values.clone().sum::<f32>() / values.len() as f32;
    values.clone().nth(class).copied().unwrap_or(mean) - mean
}

/// The positive part of each cell's evidence over the largest of it. `values` tell the scale of
/// rounding errors.
fn strengths(evidence: impl Iterator<Item = f32>, values: &[f32]) -> Vec<f32> {
    let mut strengths: Vec<f32> = evidence.map(|strength| strength.max(0.0)).collect();
    let largest = strengths.iter().copied().fold(0.0, f32::max);
    // Rounding errors alone are no evidence.
    let noise = 1e-6 * values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let scale = if largest > noise { largest.recip() } else { 0.0 };
    strengths.iter_mut().for_each(|strength| *strength *= scale);
    strengths
}

/// The cells on both sides of a place, 0 to 1 along `count` cells, and the share of the second.
fn neighbours(place: f64, count: usize) -> (usize, usize, f32) {
    let last = count - 1;
    let at = (place * count as f64 - 0.5).clamp(0.0, last as f64);
    let first = at as usize;
    (first, (first + 1).min(last), (at - first as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::architecture::MapGrid;
    use crate::preprocess::Channels;

    const PICTURE: Region = Region { x: 0.0, y: 0.0, width: 80.0, height: 40.0 };

    /// Two classes on 2 × 2 cells of 4 × 4 pixels of an input of 8 × 8.
    fn maps(first: [f32; 4], second: [f32; 4]) -> ClassMaps {
        let values = [first, second].concat();
        let grid = MapGrid { offset: 2.0, stride: 4.0 };
        ClassMaps { width: 2, height: 2, values, ground: None, grid }
    }

    fn evidence(first: [f32; 4], second: [f32; 4]) -> Evidence {
        let input = InputSpec::plain(8, 8, Channels::Grey);
        Evidence::new(0, &maps(first, second), PICTURE, &input)
    }

    #[test]
    fn evidence_is_what_exceeds_the_mean_of_the_classes() {
        let evidence = evidence([6.0, 3.0, -1.0, -5.0], [2.0, 3.0, -2.0, 5.0]);
        assert_eq!(evidence.values, [6.0, 3.0, -1.0, -5.0]);
        // Above the mean by 2, 0, 0.5, -5.
        assert_eq!(evidence.strengths, [1.0, 0.0, 0.25, 0.0]);
    }

    #[test]
    fn what_bare_ground_votes_for_is_no_evidence() {
        let mut maps = maps([0.75, 1.0, 0.25, 0.75], [0.25, 0.0, 0.75, 0.25]);
        maps.ground = Some(vec![0.75, 0.25]);
        let input = InputSpec::plain(8, 8, Channels::Grey);
        let of = |class| Evidence::new(class, &maps, PICTURE, &input).strengths;
        assert_eq!(of(0), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(of(1), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_constant_for_all_classes_changes_nothing() {
        let low = evidence([-6.0, -9.0, -9.0, -9.0], [-8.0, -9.0, -9.0, -9.0]);
        assert_eq!(low.strengths, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_network_that_tells_nothing_apart_gives_no_evidence() {
        assert_eq!(evidence([0.1; 4], [0.1; 4]).strengths, [0.0; 4]);
        let rounded = evidence([0.1; 4], [0.100_000_01; 4]);
        assert_eq!(rounded.strengths, [0.0; 4]);
    }

    #[test]
    fn cells_go_through_the_inverse_of_the_resize() {
        let evidence = evidence([1.0, 0.0, 0.0, 0.0], [0.0; 4]);
        assert_eq!(evidence.area, PICTURE, "four pixels of input are a half of each side");
        assert_eq!(evidence.at(20.0, 10.0), 1.0, "the middle of the first cell");
        assert_eq!(evidence.at(1.0, 1.0), 1.0, "kept towards the edge");
        assert_eq!(evidence.at(40.0, 10.0), 0.5, "half-way to the second");
        assert_eq!(evidence.at(40.0, 20.0), 0.25, "between all four");
        assert_eq!(evidence.at(60.0, 10.0), 0.0);
        assert_eq!(evidence.enlarged((80, 40), (2, 1)), [0.5, 0.0]);
    }

    #[test]
    fn maps_smaller_than_the_input_keep_their_place() {
        // 22 cells of one pixel each, 3 pixels from the edge of 28.
        let grid = MapGrid { offset: 3.5, stride: 1.0 };
        let maps =
            ClassMaps { width: 22, height: 22, values: vec![0.0; 2 * 484], ground: None, grid };
        let shown = Region { x: 10.0, y: 20.0, width: 56.0, height: 56.0 };
        let input = InputSpec::plain(28, 28, Channels::Grey);
        let area = Evidence::new(1, &maps, shown, &input).area;
        assert_eq!(area, Region { x: 16.0, y: 26.0, width: 44.0, height: 44.0 });
        let mut lit = ClassMaps { values: vec![1.0; 2 * 484], ..maps };
        lit.values[484..].fill(0.0);
        let lit = Evidence::new(0, &lit, shown, &input);
        assert_eq!((lit.at(16.0, 40.0), lit.at(15.1, 40.0), lit.at(14.9, 40.0)), (1.0, 1.0, 0.0));
    }

    #[test]
    fn what_was_not_shown_holds_no_evidence() {
        let input = InputSpec::plain(8, 8, Channels::Grey);
        let shown = Region { x: 20.0, y: 0.0, width: 40.0, height: 40.0 };
        let evidence = Evidence::new(0, &maps([1.0; 4], [0.0; 4]), shown, &input);
        assert_eq!(evidence.at(19.0, 20.0), 0.0);
        assert_eq!(evidence.at(21.0, 20.0), 1.0);
    }
}
