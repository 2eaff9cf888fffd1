//! Training: from folders of pictures to a model that is served.

mod command;
mod network;

use std::path::Path;

use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// Three classes that a small network tells apart in a few steps: stripes across, stripes down,
/// and squares, in any colour.
pub const CLASSES: [&str; 3] = ["across", "down", "squares"];

/// Writes `count` pictures of each class to `root/<class>/`.
pub fn write_pictures(root: &Path, count: u32) {
    for (index, class) in CLASSES.iter().enumerate() {
        let folder = root.join(class);
        std::fs::create_dir_all(&folder).expect("a folder");
        for number in 0..count {
            let path = folder.join(format!("{number}.png"));
            pattern(index, number).save(path).expect("written");
        }
    }
}

pub fn pictures(count: u32) -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    write_pictures(root.path(), count);
    root
}

fn pattern(class: usize, number: u32) -> RgbImage {
    let shift = number * 7 % 8;
    let light = Rgb([200, 90 + (number * 31 % 120) as u8, (number * 53 % 250) as u8]);
    let dark = Rgb([(number * 17 % 60) as u8, 30, (number * 29 % 90) as u8]);
    RgbImage::from_fn(32, 32, |x, y| {
        let (column, row) = ((x + shift) / 4 % 2, (y + shift) / 4 % 2);
        let lit = [row, column, column ^ row][class] == 0;
        if lit { light } else { dark }
    })
}
