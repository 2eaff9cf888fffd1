//! Which pixels belong to the digit.

use super::super::grid::Grid;

/// A component with less than this share of the largest one's pixels is a speck.
const SPECK: f64 = 0.03;
/// What touches the picture's edge (a table, a shadow, a ruled line) is left out if something with
/// at least this share of its pixels does not.
const INNER: f64 = 0.1;

/// The digit's pixels and their bounding box, ends exclusive.
pub(super) struct Strokes {
    /// 1 on the strokes, 0 elsewhere.
    pub mask: Grid,
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Strokes {
    /// Finds the 8-connected components of the pixels above `threshold` and drops specks and what
    /// comes in from the edges.
    pub fn find(ink: &Grid, threshold: f32) -> Option<Self> {
        let components = components(ink, threshold);
        let largest = |inner_only: bool| {
            let sizes = components.iter().filter(|c| !(inner_only && c.touches_edge));
            sizes.map(|c| c.pixels.len()).max().unwrap_or(0) as f64
        };
        let (all, inner) = (largest(false), largest(true));
        let inner_only = inner >= INNER * all;
        let least = SPECK * if inner_only { inner } else { all };
        let kept: Vec<_> = components
            .iter()
            .filter(|c| c.pixels.len() as f64 >= least && !(inner_only && c.touches_edge))
            .collect();
        let mut mask = Grid { values: vec![0.0; ink.values.len()], ..*ink };
        for &i in kept.iter().flat_map(|component| &component.pixels) {
            mask.values[i] = 1.0;
        }
        Some(Self {
            mask,
            left: kept.iter().map(|c| c.left).min()?,
            top: kept.iter().map(|c| c.top).min()?,
            right: kept.iter().map(|c| c.right).max()?,
            bottom: kept.iter().map(|c| c.bottom).max()?,
        })
    }

    /// The longer side of the bounding box, pixels.
    pub fn longer_side(&self) -> usize {
        (self.right - self.left).max(self.bottom - self.top)
    }

    /// Mean width of the strokes, pixels: twice the area over the outline's length.
    pub fn width(&self) -> f32 {
        let inside = self.mask.erode(1);
        let area: f32 = self.mask.values.iter().sum();
        let outline = area - inside.values.iter().sum::<f32>();
        2.0 * area / outline.max(1.0)
    }
}

struct Component {
    pixels: Vec<usize>,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    touches_edge: bool,
}

fn components(ink: &Grid, threshold: f32) -> Vec<Component> {
    let mut unseen: Vec<bool> = ink.values.iter().map(|&v| v > threshold).collect();
    let mut found = Vec::new();
    for start in 0..unseen.len() {
        if unseen[start] {
            found.push(flood(&mut unseen, ink, start));
        }
    }
    found
}

fn flood(unseen: &mut [bool], ink: &Grid, start: usize) -> Component {
    let (width, height) = (ink.width, ink.height);
    unseen[start] = false;
    let mut pixels = vec![start];
    let mut next = 0;
    while let Some(&i) = pixels.get(next) {
        next += 1;
        let (x, y) = (i % width, i / width);
        for near_y in y.saturating_sub(1)..(y + 2).min(height) {
            for near_x in x.saturating_sub(1)..(x + 2).min(width) {
                let near = near_y * width + near_x;
                if std::mem::take(&mut unseen[near]) {
                    pixels.push(near);
                }
            }
        }
    }
    let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
    for i in &pixels {
        let (x, y) = (i % width, i / width);
        (left, top) = (left.min(x), top.min(y));
        (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
    }
    let touches_edge = left == 0 || top == 0 || right == width || bottom == height;
    Component { pixels, left, top, right, bottom, touches_edge }
}
