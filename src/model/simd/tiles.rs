//! Where tiles lie. They are counted from left to right, in bands from top to bottom, from picture to
//! picture.

use super::transform::TILE;

/// Sizes of an input picture and of what is made of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

/// The picture of a tile, and its first row and column in the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) picture: usize,
    pub(super) top: usize,
    pub(super) left: usize,
}

impl Grid {
    /// Tiles in a picture.
    pub(super) fn tiles(self) -> usize {
        self.down() * self.across()
    }

    /// Bands in a picture.
    fn down(self) -> usize {
        self.out_height.div_ceil(TILE)
    }

    /// Tiles in a band.
    fn across(self) -> usize {
        self.out_width.div_ceil(TILE)
    }

    pub(super) fn place(self, tile: usize) -> Place {
        let (band, column) = (tile / self.across(), tile % self.across());
        let (picture, row) = (band / self.down(), band % self.down());
        Place { picture, top: row * TILE, left: column * TILE }
    }
}
