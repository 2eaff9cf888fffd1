//! `nin-serve classify`: the answer of `POST /classify`, without a server.

use std::io::{self, IsTerminal, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Uri, header};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::table::table;
use crate::app::Backend;
use crate::config::BackendConfig;
use crate::http::Guard;
use crate::telemetry::{self, LogConfig};

/// From so many pictures on, a bar shows how far it has come.
const MANY: usize = 8;

/// Classify picture files without a server
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nin-serve classify digit.png
  nin-serve classify --model nin-mnist --top-k 3 *.png
  nin-serve classify --explain seen.png cat.jpg
  cat photo.jpg | nin-serve classify --json -
  nin-serve classify --json *.jpg | jq -r '[.file, .predictions[0].label] | @tsv'")]
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

    /// Write the picture with a heat map of what speaks for its best class. For several pictures,
    /// a folder that exists
    #[arg(long, value_name = "OUT.png")]
    explain: Option<PathBuf>,

    #[command(flatten)]
    backend: BackendConfig,
    #[command(flatten)]
    log: LogConfig,
}

pub fn run(mut args: Args) -> anyhow::Result<()> {
    args.backend.check()?;
    if let Some(out) = &args.explain {
        ensure!(
            args.files.len() == 1 || out.is_dir(),
            "--explain {}: there are {} pictures, so give a folder that exists",
            out.display(),
            args.files.len()
        );
    }
    // Pictures go one by one, so no larger batch needs to be warm.
    args.backend.batching.max_batch = NonZeroUsize::MIN;
    args.backend.models.default_model = args.model.take().or(args.backend.models.default_model);
    telemetry::init(&args.log, "warn")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(classify(args))
}

async fn classify(args: Args) -> anyhow::Result<()> {
    let backend = Backend::start(&args.backend, args.backend.threads(), None).await?;
    let router = backend.router(Router::new(), Guard::default());
    let progress = progress(args.files.len());
    let mut failed = 0;
    for file in &args.files {
        let answer = answer(&router, &args, file).await?;
        failed += usize::from(answer.is_err());
        let name = file.to_string_lossy();
        let text = if args.json { json(&name, answer) } else { table(&name, answer) };
        // A closed pipe is an error like any other, not a panic.
        progress.suspend(|| anstream::stdout().write_all(text.as_bytes()))?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    backend.stop().await;
    ensure!(failed == 0, "{failed} of {} pictures could not be classified", args.files.len());
    Ok(())
}

/// Drawn on terminals only, and not for a few pictures.
fn progress(pictures: usize) -> ProgressBar {
    let target = match pictures >= MANY && io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len}, {per_sec}, {eta} left");
    let style = style.expect("the template is well-formed");
    ProgressBar::with_draw_target(Some(pictures as u64), target).with_style(style)
}

/// The service's answer, or the problem; a heat map is written on the way.
async fn answer(router: &Router, args: &Args, file: &Path) -> anyhow::Result<Result<Value, Value>> {
    let picture = match read(file) {
        Ok(picture) => Bytes::from(picture),
        Err(error) => return Ok(Err(json!({"title": error.to_string()}))),
    };
    let classify = Uri::try_from(format!("/classify?top_k={}", args.top_k))?;
    let answer = match ask(router, classify, picture.clone()).await? {
        Ok(answer) => serde_json::from_slice(&answer)?,
        Err(problem) => return Ok(Err(problem)),
    };
    if let Some(out) = &args.explain {
        match ask(router, Uri::from_static("/explain"), picture).await? {
            Ok(heat) => write(&heat_file(out, file), &heat)?,
            Err(problem) => return Ok(Err(problem)),
        }
    }
    Ok(Ok(answer))
}

/// Asks the service's own routes, so that the answer can't differ: its body, or the problem.
async fn ask(router: &Router, uri: Uri, picture: Bytes) -> anyhow::Result<Result<Bytes, Value>> {
    let request = Request::post(uri)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT, "image/png, application/json;q=0.9")
        .body(Body::from(picture))?;
    let Ok(response) = router.clone().oneshot(request).await;
    let found = response.status().is_success();
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    Ok(if found { Ok(body) } else { Err(serde_json::from_slice(&body)?) })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut picture = Vec::new();
    io::stdin().read_to_end(&mut picture)?;
    Ok(picture)
}

/// In a folder the heat map of `cat.jpg` is `cat.jpg.heat.png`.
fn heat_file(out: &Path, picture: &Path) -> PathBuf {
    if !out.is_dir() {
        return out.to_owned();
    }
    let name = picture.file_name().unwrap_or("picture".as_ref()).to_string_lossy();
    out.join(format!("{name}.heat.png"))
}

fn write(file: &Path, heat: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, heat).with_context(|| format!("--explain {}", file.display()))
}

/// One line of JSON.
fn json(name: &str, answer: Result<Value, Value>) -> String {
    let mut line = answer.unwrap_or_else(|problem| json!({"error": problem}));
    line["file"] = name.into();
    format!("{line}\n")
}
