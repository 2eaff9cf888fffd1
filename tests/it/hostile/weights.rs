//! Weights that are no numbers, under a digest that fits.

use std::path::Path;

use nin_serve::model::folder::digest;
use nin_serve::model::{ModelFolder, Preset};

use crate::lifecycle::process::{Process, binary, classify, models, png, status};
use crate::support_models;

const KEY: &str = "X-API-Key: adm1n\r\n";

/// Makes the last weight of the model not a number, and lets `model.toml` vouch for it.
fn poison(models: &Path) {
    let folder = models.join("small");
    let (weights, manifest) = (folder.join("weights.safetensors"), folder.join("model.toml"));
    let mut bytes = std::fs::read(&weights).expect("weights");
    let before = digest(&bytes);
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, &bytes).expect("written");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    assert!(text.contains(&before));
    std::fs::write(&manifest, text.replace(&before, &digest(&bytes))).expect("written");
}

#[test]
fn weights_that_are_not_numbers_are_never_ready() {
    let models = models();
    poison(models.path());
    let output = binary()
        .args(["--listen", "127.0.0.1:0", "--models"])
        .arg(models.path())
        .output()
        .expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    let line = log.lines().last().unwrap_or_default();
    assert!(line.contains("weights.safetensors") && line.contains("not finite"), "{line}");
}

#[test]
fn on_reload_the_old_ones_stay() {
    let models = models();
    let process = Process::start_at(models.path(), &["--admin-key", "adm1n"]);
    support_models::write_other(models.path(), "small", (Preset::Nin28, 1));
    poison(models.path());
    let answer = process.exchange(format!(
        "POST /models/small/reload HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Content-Length: 0\r\n{KEY}\r\n"
    ));
    assert_eq!(status(&answer), "422", "{answer}");
    assert_eq!(status(&process.exchange(classify(&png(40)))), "200");
    assert_eq!(status(&process.get("/health/ready", "")), "200");
}

#[test]
fn weights_that_were_changed_since_they_were_checked_are_told_apart() {
    let models = models();
    let folder = ModelFolder::load(&models.path().join("small")).expect("a model");
    assert!(folder.tensors().is_ok());
    let weights = models.path().join("small/weights.safetensors");
    let mut bytes = std::fs::read(&weights).expect("weights");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).expect("written");
    let error = folder.tensors().expect_err("another digest").to_string();
    assert!(error.contains("weights.safetensors") && error.contains("SHA-256"), "{error}");
}
