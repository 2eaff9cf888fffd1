use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nin_serve::model::Preset;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, classify, exchange, models, png, status};
use crate::support_models::write_other;

const KEY: &str = "X-API-Key: adm1n\r\n";

fn reload(process: &Process, model: &str, headers: &str) -> String {
    process.exchange(format!(
        "POST /models/{model}/reload HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Content-Length: 0\r\n{headers}\r\n"
    ))
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

/// What the model says of a picture.
fn opinion(process: &Process) -> Value {
    body(&process.exchange(classify(&png(40))))["predictions"].clone()
}

/// A server whose models' folder stays in our hands.
fn start(arguments: &[&str]) -> (TempDir, Process) {
    let models = models();
    let process = Process::start_at(models.path(), arguments);
    (models, process)
}

fn change(models: &Path) {
    write_other(models, "small", (Preset::Nin28, 1));
}

#[test]
fn new_weights_come_into_service_and_nobody_notices_but_by_the_answers() {
    let (models, process) = start(&["--admin-key", "adm1n"]);
    let (before, digest) = (opinion(&process), body(&process.get("/models/small", "")));
    let (stop, address) = (&AtomicBool::new(false), process.address);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(status(&exchange(address, classify(&png(200)))), "200");
                }
            });
        }
        change(models.path());
        let answer = reload(&process, "small", KEY);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(status(&answer), "200", "{answer}");
        assert_ne!(body(&answer)["weights_sha256"], digest["weights_sha256"]);
    });
    assert_ne!(opinion(&process), before);
    assert_eq!(status(&process.get("/health/ready", "")), "200");
    // The old network's thread is gone.
    process.log_line("reloaded");
    let mut process = process;
    process.signal("TERM");
    assert!(process.wait().success());
}

#[test]
fn a_broken_folder_leaves_the_old_network_in_service() {
    let (models, process) = start(&["--admin-key", "adm1n"]);
    let before = opinion(&process);
    std::fs::write(models.path().join("small/weights.safetensors"), "broken").expect("written");
    let answer = reload(&process, "small", KEY);
    assert_eq!(status(&answer), "422", "{answer}");
    assert_eq!(body(&answer)["code"], "broken-model");
    assert_eq!(opinion(&process), before);
    change(models.path());
    assert_eq!(status(&reload(&process, "small", KEY)), "200", "it can be mended");
}

#[test]
fn reload_asks_for_its_own_key_and_a_model_in_service() {
    let (_models, process) = start(&["--admin-key", "adm1n", "--api-key", "us3r"]);
    assert_eq!(status(&reload(&process, "small", "")), "401");
    assert_eq!(status(&reload(&process, "small", "X-API-Key: us3r\r\n")), "401");
    assert_eq!(status(&reload(&process, "other", KEY)), "404");
    assert_eq!(status(&reload(&process, "..%2Fsmall", KEY)), "404");
    assert_eq!(status(&process.get("/models", KEY)), "200", "who administers may use");
    let (_models, process) = start(&[]);
    assert_eq!(status(&reload(&process, "small", KEY)), "403", "on only with a key");
}
