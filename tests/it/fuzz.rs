//! The fuzz targets' checks on their seeds, on what fuzzing has found, and on both mutated: bounded,
//! the same at each run, and without a fuzzer.

#[path = "../../fuzz/src/checks/mod.rs"]
mod checks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What fuzzers like to write.
const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'-'];

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let files = paths.into_iter().filter(|path| path.is_file());
    files.map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Runs `check` on the files of `folders` and on `count` inputs made of them.
fn run(check: fn(&[u8]), folders: [&str; 2], count: usize) {
    let files: Vec<_> = folders.into_iter().flat_map(files).collect();
    assert!(files.len() > 3, "no seeds in {folders:?}");
    for file in &files {
        assert_holds(check, file);
    }
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..count {
        assert_holds(check, &mutated(&files, &mut random));
    }
}

/// Keeps an input that breaks the check, for a place among the found ones.
fn assert_holds(check: fn(&[u8]), input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| check(input))).is_err() {
        let file = tempfile::Builder::new().prefix("nin-serve-fuzz-").tempfile().expect("a file");
        std::fs::write(file.path(), input).expect("written");
        let (_, path) = file.keep().expect("kept");
        panic!("the check failed on {}", path.display());
    }
}

/// One file, with up to eight changes.
fn mutated(files: &[Vec<u8>], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = files[random.random_range(0..files.len())].clone();
    for _ in 0..random.random_range(1..=8) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..64)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let other = &files[random.random_range(0..files.len())];
                let from = random.random_range(0..=other.len());
                let part = &other[from..(from + 64).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ if at < bytes.len() => {
                bytes[at] = match random.random_range(0..2) {
                    0 => bytes[at] ^ 1 << random.random_range(0..8),
                    _ => TELLING[random.random_range(0..TELLING.len())],
                };
            }
            _ => {}
        }
    }
    bytes
}

#[test]
fn pictures() {
    run(checks::picture, ["tests/fixtures/pictures", "tests/fixtures/fuzz/picture"], 4_000);
}

#[test]
fn uploads() {
    run(checks::upload, ["fuzz/seeds/upload", "tests/fixtures/fuzz/upload"], 20_000);
}

#[test]
fn manifests() {
    run(checks::manifest, ["fuzz/seeds/manifest", "tests/fixtures/fuzz/manifest"], 5_000);
}
