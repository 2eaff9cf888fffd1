use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, binary, classify, models, png};

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let mut process = Process::start(&["--shutdown-delay", "60s"]);
    let listen = process.address.to_string();
    let check = || binary().args(["healthcheck", "--listen", &listen]).output().expect("it runs");
    assert!(check().status.success());
    process.signal("TERM");
    process.log_line("draining");
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("shutting down"));
    process.signal("TERM");
    process.wait();
    assert_eq!(check().status.code(), Some(1));
}

#[test]
fn classify_gives_the_answer_of_the_service() {
    let process = Process::start(&[]);
    let answer = process.exchange(classify(&png(40)).as_slice());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let mut served: Value = serde_json::from_str(body).expect("JSON");

    let (models, folder) = (models(), TempDir::new().expect("a temporary folder"));
    let (good, bad) = (folder.path().join("good.png"), folder.path().join("bad.jpg"));
    std::fs::write(&good, png(40)).expect("written");
    std::fs::write(&bad, "no picture").expect("written");
    let command = || {
        let mut command = binary();
        command.arg("classify").arg("--models").arg(models.path()).args([&good, &bad]);
        command
    };
    let output = command().args(["--json", "--top-k", "10"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "one of the pictures is bad");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    served["file"] = good.to_string_lossy().into();
    let (mut found, mut expected) = (lines[0].clone(), served.clone());
    let pairs = probabilities(&mut found).into_iter().zip(probabilities(&mut expected));
    for (found, expected) in pairs {
        // Sums may be in another order: the service times its layers before it chooses.
        assert!((found - expected).abs() < 1e-6, "{lines:?} is not {served}");
    }
    assert_eq!(found, expected);
    assert_eq!(lines[1]["error"]["code"], "unsupported-image");

    let output = command().output().expect("it runs");
    let table = String::from_utf8(output.stdout).expect("text");
    let best = served["predictions"][0]["label"].as_str().expect("a label");
    assert!(table.contains(best) && table.contains("40×40"), "{table}");
}

/// Takes them out of an answer.
fn probabilities(answer: &mut Value) -> Vec<f64> {
    let predictions = answer["predictions"].as_array_mut().expect("predictions");
    let probabilities = predictions.iter_mut().map(|prediction| prediction["probability"].take());
    probabilities.map(|probability| probability.as_f64().expect("a number")).collect()
}

#[test]
fn classify_reads_the_standard_input() {
    let models = models();
    let mut command = binary();
    command.args(["classify", "--json", "-", "--models"]).arg(models.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, &png(40)).expect("sent");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["predictions"].as_array().map(Vec::len), Some(5), "{answer}");
}
