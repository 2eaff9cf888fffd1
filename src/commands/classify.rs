//! `nin-serve classify`: the answer of `POST /classify`, without a server.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::app::Backend;
use crate::config::BackendConfig;
use crate::http::Guard;
use crate::telemetry::{self, LogConfig};

/// Classify picture files without a server
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nin-serve classify digit.png
  nin-serve classify --model nin-mnist --top-k 3 *.png
  cat photo.jpg | nin-serve classify --json -")]
pub struct Args {
    /// Pictures; `-` is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Model to ask; without it the default one
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// How many classes to tell
    #[arg(long, value_name = "COUNT", default_value = "5")]
    top_k: NonZeroUsize,

    /// One JSON object a line: the service's answer, and the file's name
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: BackendConfig,
    #[command(flatten)]
    log: LogConfig,
}

pub fn run(mut args: Args) -> anyhow::Result<()> {
    args.backend.check()?;
    // Pictures go one by one, so no larger batch needs to be warm.
    args.backend.batching.max_batch = NonZeroUsize::MIN;
    args.backend.models.default_model = args.model.take().or(args.backend.models.default_model);
    telemetry::init(&args.log, "warn")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(classify(args))
}

async fn classify(args: Args) -> anyhow::Result<()> {
    let backend = Backend::start(&args.backend, args.backend.threads()).await?;
    let router = backend.router(Router::new(), Guard::default());
    let mut failed = 0;
    for file in &args.files {
        let answer = ask(&router, args.top_k, file).await?;
        failed += usize::from(answer.is_err());
        let name = file.to_string_lossy();
        let text = if args.json { json(&name, answer) } else { table(&name, answer) };
        // A closed pipe is an error like any other, not a panic.
        io::stdout().write_all(text.as_bytes())?;
    }
    backend.stop().await;
    ensure!(failed == 0, "{failed} of {} pictures could not be classified", args.files.len());
    Ok(())
}

/// Asks the service's own routes, so that the answer can't differ: the answer, or the problem.
async fn ask(
    router: &Router,
    top_k: NonZeroUsize,
    file: &Path,
) -> anyhow::Result<Result<Value, Value>> {
    let picture = match read(file) {
        Ok(picture) => picture,
        Err(error) => return Ok(Err(json!({"title": error.to_string()}))),
    };
    let request = Request::post(format!("/classify?top_k={top_k}"))
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(Body::from(picture))?;
    let Ok(response) = router.clone().oneshot(request).await;
    let found = response.status().is_success();
    let answer = serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await?)?;
    Ok(if found { Ok(answer) } else { Err(answer) })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut picture = Vec::new();
    io::stdin().read_to_end(&mut picture)?;
    Ok(picture)
}

/// One line of JSON.
fn json(name: &str, answer: Result<Value, Value>) -> String {
    let mut line = answer.unwrap_or_else(|problem| json!({"error": problem}));
    line["file"] = name.into();
    format!("{line}\n")
}

/// A line for the file, and one for each class.
fn table(name: &str, answer: Result<Value, Value>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => {
            let detail = problem.get("detail").map(|detail| format!(": {}", text(detail)));
            return format!("{name}: {}{}\n", text(&problem["title"]), detail.unwrap_or_default());
        }
    };
    let image = &answer["image"];
    let (format, width, height) = (text(&image["format"]), &image["width"], &image["height"]);
    let mut table = format!("{name} ({format}, {width}×{height})");
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        table = format!("{table}, {}", text(warning));
    }
    for prediction in answer["predictions"].as_array().into_iter().flatten() {
        let percent = 100.0 * prediction["probability"].as_f64().unwrap_or_default();
        table = format!("{table}\n  {percent:6.2} %  {}", text(&prediction["label"]));
    }
    format!("{table}\n")
}
