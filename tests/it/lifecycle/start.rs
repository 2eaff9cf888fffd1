use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nin_serve::model::Preset;
use tempfile::TempDir;

use super::process::{Process, binary, classify, models, png, status};
use crate::support_models;

/// Runs a server that shall not start: its exit code and the last line of its log.
fn fails(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().expect("it runs");
    let log = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!log.contains("panicked"), "{log}");
    (status.code(), log.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn it_starts_and_classifies() {
    let process = Process::start(&[]);
    assert_eq!(status(&process.get("/health/ready", "")), "200");
    let answer = process.exchange(classify(&png(40)));
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.contains("\"model\":\"small\""), "{answer}");
}

#[test]
#[cfg(target_os = "linux")]
fn idle_threads_sleep_soon_unless_somebody_says_otherwise() {
    let said = |process: &Process| {
        let file = format!("/proc/{}/environ", process.id());
        let variables = std::fs::read_to_string(file).expect("variables");
        let mut pairs = variables.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == "GOMP_SPINCOUNT").map(|(_, value)| value.to_owned())
    };
    assert_eq!(said(&Process::start(&[])).as_deref(), Some("2000"));
    let process = Process::start_in(&[("GOMP_SPINCOUNT", "70".to_owned())]);
    assert_eq!(said(&process).as_deref(), Some("70"));
}

#[test]
fn four_models_are_ready_within_three_seconds() {
    let models = TempDir::new().expect("a temporary folder");
    for (name, preset) in [
        ("outline", Preset::NinOutline),
        ("digits", Preset::Nin28),
        ("objects", Preset::NinCifar),
        ("scenes", Preset::NinImagenet),
    ] {
        support_models::write(models.path(), name, preset);
    }
    // Thrice the promise, and the best of some starts: the machine that runs all tests at once is a busy
    // one, and whatever else it does only adds to it.
    let ready = (0..3).any(|_| {
        let started = Instant::now();
        let process = Process::start_at(models.path(), &["--default-model", "digits"]);
        let took = started.elapsed();
        println!("four models are ready after {took:?}");
        assert!(process.exchange(classify(&png(40))).contains("\"model\":\"digits\""));
        took < Duration::from_secs(9)
    });
    assert!(ready);
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let models = models();
    let mut command = binary();
    command.args(["--listen", &address, "--models"]).arg(models.path());
    let (code, line) = fails(&mut command);
    assert_eq!(code, Some(1));
    assert!(line.contains("--listen") && line.contains(&address), "{line}");
    assert!(line.contains("in use"), "{line}");
}

#[test]
fn a_bad_setting_names_its_flag() {
    let (code, _) = fails(binary().args(["--max-batch", "0"]));
    assert_eq!(code, Some(2));
    let output = binary().env("NIN_MAX_DELAY", "soon").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--max-delay"), "{text}");
    let (code, line) = fails(binary().args(["--memory-budget", "1MiB"]));
    assert_eq!(code, Some(1));
    assert!(line.contains("--memory-budget"), "{line}");
}

#[test]
fn a_broken_model_stops_the_start() {
    let break_file = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let models = models();
        let path = models.path().join("small").join(file);
        let content = std::fs::read(&path).expect("a file of the model");
        std::fs::write(&path, change(content)).expect("written");
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0", "--models"]).arg(models.path());
        let (code, line) = fails(&mut command);
        assert_eq!(code, Some(1), "{file}: {line}");
        line
    };
    let flipped = break_file("weights.safetensors", &|mut bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes
    });
    assert!(flipped.contains("weights.safetensors") && flipped.contains("SHA-256"), "{flipped}");
    let short = break_file("labels.txt", &|_| b"one\n".to_vec());
    assert!(short.contains("labels.txt"), "{short}");
    // A network that computes something else than it did where it was made.
    let other = break_file("model.toml", &|manifest| {
        let text = String::from_utf8(manifest).expect("text");
        let (before, after) = text.split_once("probabilities = [").expect("a golden answer");
        let (first, rest) = after.split_once(',').expect("several classes");
        let wrong = 1.0 - first.trim().parse::<f32>().expect("a number");
        format!("{before}probabilities = [{wrong},{rest}").into_bytes()
    });
    assert!(other.contains("small") && other.contains("golden"), "{other}");
}

#[test]
fn an_unknown_default_model_stops_the_start() {
    let models = models();
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0", "--default-model", "other", "--models"]);
    let (code, line) = fails(command.arg(models.path()));
    assert_eq!(code, Some(1));
    assert!(line.contains("other") && line.contains("small"), "{line}");
}

/// By the affinity: setting a quota would ask for privileges.
#[test]
fn threads_follow_what_the_process_may_use_of_the_machine() {
    let models = models();
    let output = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_nin-serve"), "--listen", "127.0.0.1:0"])
        .args(["--default-model", "other", "--models"])
        .arg(models.path())
        .output()
        .expect("taskset of util-linux");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("1 CPUs: 1 decode, 1 infer"), "{log}");
}
