//! The path of a user: folders of pictures, `train`, `evaluate`, `classify`.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use super::{CLASSES, pictures, write_pictures};
use crate::lifecycle::process::binary;

fn nin_serve(folder: &Path, arguments: &[&str]) -> Output {
    binary().current_dir(folder).args(arguments).output().expect("the binary runs")
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout
}

#[track_caller]
fn failure(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const TRAIN: [&str; 5] =
    ["train", "--data=pictures", "--out=models/patterns", "--epochs=8", "--batch-size=8"];
const ARCHITECTURE: &str = r#"
[architecture]
layers = [
    { type = "conv", filters = 16, kernel = 5, padding = 2 },
    { type = "relu" },
    { type = "conv", filters = 16, kernel = 1 },
    { type = "relu" },
    { type = "max-pool", kernel = 3, stride = 2 },
    { type = "conv", filters = 3, kernel = 3, padding = 1 },
]
"#;

#[test]
fn own_pictures_become_a_model_that_answers() {
    let home = TempDir::new().expect("a temporary folder");
    write_pictures(&home.path().join("pictures"), 40);
    std::fs::write(home.path().join("pictures/down/broken.png"), b"no picture").expect("written");
    std::fs::write(home.path().join("own.toml"), ARCHITECTURE).expect("written");
    let train =
        [&TRAIN[..], &["--architecture=own.toml", "--holdout=0.2", "--flip=false"]].concat();
    let output = nin_serve(home.path(), &train);
    succeeded(&output);
    assert!(text(&output.stderr).contains("left out: pictures/down/broken.png"));

    for file in ["model.toml", "weights.safetensors", "labels.txt", "README.md"] {
        assert!(home.path().join("models/patterns").join(file).is_file(), "{file}");
    }
    for file in ["metrics.jsonl", "learning-curves.svg", "confusion.svg", "reliability.svg"] {
        assert!(home.path().join("runs/patterns").join(file).is_file(), "{file}");
    }
    let card = std::fs::read_to_string(home.path().join("models/patterns/README.md"));
    assert!(card.expect("a card").contains("nin-serve train --data=pictures"));

    let evaluate = ["evaluate", "--model=models/patterns", "--data=pictures", "--json"];
    let evaluation = succeeded(&nin_serve(home.path(), &evaluate));
    let evaluation: Value = serde_json::from_str(&evaluation).expect("JSON");
    assert_eq!((&evaluation["pictures"], &evaluation["unreadable"]), (&120.into(), &1.into()));
    assert!(evaluation["top1"].as_f64() > Some(0.9), "{evaluation}");
    assert_eq!(evaluation["labels"][1], CLASSES[1]);

    let classify = ["classify", "--json", "pictures/squares/3.png"];
    let answer = succeeded(&nin_serve(home.path(), &classify));
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["predictions"][0]["label"], "squares", "{answer}");
}

#[test]
fn a_model_goes_on_learning_from_its_weights() {
    let home = TempDir::new().expect("a temporary folder");
    write_pictures(&home.path().join("pictures"), 40);
    std::fs::write(home.path().join("own.toml"), ARCHITECTURE).expect("written");
    let own = ["--architecture=own.toml", "--holdout=0.2", "--flip=false"];
    succeeded(&nin_serve(home.path(), &[&TRAIN[..], &own].concat()));
    // Too little to learn anything in.
    let more = [
        "train",
        "--data=pictures",
        "--out=models/more",
        "--epochs=1",
        "--peak-rate=0.0001",
        "--from=models/patterns",
    ];
    let printed = succeeded(&nin_serve(home.path(), &[&more[..], &own].concat()));
    assert!(printed.contains("top-1 100.00 %"), "{printed}");

    std::fs::remove_dir_all(home.path().join("pictures/down")).expect("removed");
    let two_classes = ARCHITECTURE.replace("filters = 3,", "filters = 2,");
    std::fs::write(home.path().join("own.toml"), two_classes).expect("written");
    let printed = succeeded(&nin_serve(home.path(), &[&more[..], &own].concat()));
    assert!(printed.contains("of 16 pictures"), "two classes: {printed}");
    let error = failure(&nin_serve(home.path(), &[&more[..], &["--architecture=nin-28"]].concat()));
    assert!(error.contains("--from models/patterns: its convolutions are others"), "{error}");
}

#[test]
fn a_killed_run_goes_on_from_its_checkpoint() {
    let home = TempDir::new().expect("a temporary folder");
    write_pictures(&home.path().join("pictures"), 40);
    let train = [&TRAIN[..], &["--holdout=0.2", "--architecture=own.toml"]].concat();
    std::fs::write(home.path().join("own.toml"), ARCHITECTURE).expect("written");
    let mut child = binary().current_dir(home.path()).args(&train).spawn().expect("started");
    let metrics = home.path().join("runs/patterns/metrics.jsonl");
    while !metrics.is_file() {
        assert!(child.try_wait().expect("our child").is_none(), "ended before its first epoch");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let done = std::fs::read_to_string(&metrics).expect("readable").lines().count();
    succeeded(&nin_serve(home.path(), &[&train[..], &["--resume"]].concat()));
    let lines = std::fs::read_to_string(&metrics).expect("readable");
    let epochs: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(epochs.len(), 8, "{done} were done when it was killed");
}

#[test]
fn bad_data_is_named_before_any_work() {
    let home = TempDir::new().expect("a temporary folder");
    let train = |data: &str, more: &[&str]| {
        let data = format!("--data={data}");
        let train = ["train", &data, "--out=models/none"];
        failure(&nin_serve(home.path(), &[&train[..], more].concat()))
    };
    let error = train("nowhere", &[]);
    assert!(error.contains("nowhere"), "{error}");

    std::fs::create_dir_all(home.path().join("one/only")).expect("a folder");
    let error = train("one", &[]);
    assert!(error.contains("one class only (only)"), "{error}");

    write_pictures(&home.path().join("empty"), 4);
    std::fs::create_dir_all(home.path().join("empty/void")).expect("a folder");
    let error = train("empty", &[]);
    assert!(error.contains("void: the class folder is empty"), "{error}");

    let error = train("empty", &["--architecture=nin-unknown"]);
    assert!(error.contains("nin-unknown") && error.contains("nin-cifar"), "{error}");

    let strict = pictures(4);
    std::fs::write(strict.path().join("down/broken.jpg"), b"none").expect("written");
    let error = train(&strict.path().to_string_lossy(), &["--strict", "--holdout=0.25"]);
    assert!(error.contains("broken.jpg") && error.contains("1 unreadable"), "{error}");
    assert!(!home.path().join("models/none").exists());
}
