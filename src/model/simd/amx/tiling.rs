//! Pixels in tiles.

use std::array::from_fn;

use super::product::Left;
use super::{DEEP, PANEL, SIDE};
use crate::model::simd::aligned::Aligned;
use crate::model::simd::elements::Bf16;
use crate::model::simd::tiles::Grid;
use crate::model::simd::window::Window;

/// The output pixels of some pictures in tiles of `rows` pixels that lie beside each other. Tiles are
/// counted from left to right, from top to bottom, from picture to picture.
///
/// All have the same size: the last one of a line also has pixels of the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    pub(super) rows: usize,
    pub(super) grid: Grid,
    window: Window,
    pictures: usize,
}

/// What a layer sees of all tiles.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// Pictures, with zeros around them if windows see them.
    Windows(&'a [Bf16]),
    /// What the layer before it puts out, `[panels, pixels of all tiles, PANEL]`.
    Pixels(&'a [Bf16]),
}

impl<'a> Seen<'a> {
    /// Of the first layer, which nothing is `before`, and of those after it.
    pub(super) fn of(x: &'a [Bf16], before: Option<&'a [Bf16]>) -> Self {
        before.map_or(Self::Windows(x), Self::Pixels)
    }

    /// `count` tiles from `first` on.
    pub(super) fn left(self, tiling: Tiling, first: usize, count: usize) -> Left<'a> {
        let values = match self {
            Self::Windows(x) => return tiling.left(x, first, count),
            Self::Pixels(values) => values,
        };
        let Tiling { rows, .. } = tiling;
        let pitch = tiling.count() * rows * PANEL;
        Left {
            values,
            tiles: from_fn(|tile| (first + tile).min(tiling.count() - 1) * rows * PANEL),
            count,
            rows,
            stride: PANEL,
            lines: values.len() / pitch,
            pitch,
            depth: PANEL,
        }
    }
}

impl Tiling {
    pub(super) fn new(window: Window, grid: Grid, pictures: usize) -> Self {
        let width = Self::line(window, grid, pictures);
        Self { rows: width.div_ceil(width.div_ceil(SIDE)), grid, window, pictures }
    }

    /// Output pixels that lie beside each other: of all pictures, if each is seen for itself.
    fn line(window: Window, grid: Grid, pictures: usize) -> usize {
        if window.is_pixel() { pictures * grid.height * grid.width } else { grid.out_width }
    }

    fn across(self) -> [usize; 2] {
        let width = Self::line(self.window, self.grid, self.pictures);
        [width, width.div_ceil(self.rows)]
    }

    pub(super) fn count(self) -> usize {
        let [width, across] = self.across();
        self.pictures * self.grid.out_height * self.grid.out_width / width * across
    }

    /// Where a tile begins, among the output pixels. It is wanted up to where the next one begins.
    pub(super) fn first_pixel(self, tile: usize) -> usize {
        let [width, across] = self.across();
        tile / across * width + (tile % across * self.rows).min(width - self.rows)
    }

    /// Whether windows see more than the pictures have.
    pub(super) fn reads_beyond(self) -> bool {
        self.window.padding > 0 || !(self.window.kernel * self.window.channels).is_multiple_of(DEEP)
    }

    /// `x`, `[N, H, W, C]`, with zeros around each picture, and after all of them.
    pub(super) fn padded(self, x: &[Bf16]) -> Aligned<Bf16> {
        self.window.padded((x, self.grid), self.pictures, DEEP)
    }

    /// The windows of `count` tiles from `first` on, in `x`, which has zeros around it if they see it.
    fn left(self, x: &[Bf16], first: usize, count: usize) -> Left<'_> {
        let Window { channels, kernel, stride, .. } = self.window;
        let place = |tile: usize| {
            let pixel = self.first_pixel((first + tile).min(self.count() - 1));
            self.window.corner(self.grid, pixel)
        };
        Left {
            values: x,
            tiles: from_fn(place),
            count,
            rows: self.rows,
            stride: stride * channels,
            lines: kernel,
            pitch: self.window.pitch(self.grid),
            depth: (kernel * channels).next_multiple_of(DEEP),
        }
    }
}
