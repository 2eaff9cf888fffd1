//! From bytes to the network's input.

mod broken;
mod frequencies;
mod ink;
mod pillow;
mod pipeline;

use std::path::{Path, PathBuf};

use nin_serve::preprocess::{self, Channels, Header, InputSpec, PictureError, Prepared};

const MAX_PIXELS: u64 = 50_000_000;

/// An input contract with defaults for all but the shape.
fn spec(width: u32, height: u32, channels: Channels) -> InputSpec {
    InputSpec {
        width,
        height,
        channels,
        order: Default::default(),
        resize: Default::default(),
        filter: Default::default(),
        background: [255; 3],
        polarity: Default::default(),
        framing: Default::default(),
        scale: 1.0 / 255.0,
        mean: vec![0.0; channels.count()],
        std: vec![1.0; channels.count()],
    }
}

fn try_prepare(bytes: &[u8], spec: &InputSpec) -> Result<Prepared, PictureError> {
    let header = Header::read(bytes, MAX_PIXELS)?;
    preprocess::prepare(bytes, &header, spec)
}

fn prepare(bytes: &[u8], spec: &InputSpec) -> Prepared {
    try_prepare(bytes, spec).expect("a whole picture")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures")
}

pub fn picture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).expect("a fixture")
}

/// All pictures by name, sorted as the expectations are.
pub fn pictures() -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder()).expect("fixtures").map(|entry| entry.expect("entry"));
    let names = entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), picture(&name))).collect()
}

/// A binary PGM or PPM.
fn pnm(width: u32, height: u32, channels: Channels, pixels: &[u8]) -> Vec<u8> {
    let kind = if channels == Channels::Grey { 5 } else { 6 };
    [format!("P{kind}\n{width} {height}\n255\n").as_bytes(), pixels].concat()
}
