//! New weights in a running service.

use std::path::Path;

use nin_serve::model::Preset;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, classify, png, status};
use crate::support_models;

const KEY: &str = "X-API-Key: root\r\n";

fn post(process: &Process, path: &str, headers: &str) -> String {
    process.exchange(format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\
         {headers}\r\n"
    ))
}

fn digest(process: &Process, name: &str) -> String {
    let answer = process.get(&format!("/models/{name}"), "");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let model: Value = serde_json::from_str(body).expect("JSON");
    model["weights_sha256"].as_str().expect("a digest").to_owned()
}

fn write(models: &Path, name: &str, preset: Preset) {
    let folder = models.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("removed");
    }
    support_models::write(models, name, preset);
}

fn start(models: &TempDir) -> Process {
    write(models.path(), "small", Preset::Nin28);
    Process::start_at(models.path(), &["--admin-key", "root"])
}

#[test]
fn new_weights_are_swapped_in_and_broken_ones_are_not() {
    let models = TempDir::new().expect("a temporary folder");
    let mut process = start(&models);
    let first = digest(&process, "small");
    write(models.path(), "small", Preset::NinCifar);
    assert_eq!(digest(&process, "small"), first, "nothing changes by itself");
    let answer = post(&process, "/models/small/reload", KEY);
    assert_eq!(status(&answer), "200", "{answer}");
    let second = digest(&process, "small");
    assert_ne!(second, first);
    assert_eq!(status(&process.exchange(classify(&png(40)))), "200");

    let weights = models.path().join("small/weights.safetensors");
    std::fs::write(&weights, b"no weights").expect("written");
    let answer = post(&process, "/models/small/reload", KEY);
    assert_eq!(status(&answer), "409", "{answer}");
    assert!(answer.contains("SHA-256"), "{answer}");
    assert_eq!(digest(&process, "small"), second);
    assert_eq!(status(&process.exchange(classify(&png(40)))), "200");
    process.signal("TERM");
    assert!(process.wait().success());
}

#[test]
fn models_come_and_go_and_nothing_is_lost() {
    let models = TempDir::new().expect("a temporary folder");
    let mut process = start(&models);
    write(models.path(), "other", Preset::Nin28);
    let repository = |name: &str, action: &str| {
        status(&post(&process, &format!("/v2/repository/models/{name}/{action}"), KEY)).to_owned()
    };
    assert_eq!(repository("missing", "load"), "404");
    assert_eq!(repository("%2e%2e%2fsmall", "load"), "404");
    assert_eq!(repository("other", "load"), "200");
    let picture = png(40);
    std::thread::scope(|scope| {
        let loaded = scope.spawn(|| {
            for _ in 0..5 {
                assert_eq!(repository("small", "load"), "200");
            }
        });
        while !loaded.is_finished() {
            assert_eq!(status(&process.exchange(classify(&picture))), "200");
        }
        loaded.join().expect("no load failed");
    });
    assert_eq!(repository("small", "unload"), "200");
    assert_eq!(status(&process.get("/v2/models/small/ready", "")), "404");
    assert_eq!(status(&process.get("/v2/models/other/ready", "")), "200");
    assert_eq!(status(&process.get("/health/ready", "")), "200");
    process.signal("TERM");
    assert!(process.wait().success());
}
