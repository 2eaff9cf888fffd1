//! `nin-serve classify`: the answer of `POST /classify`, without a server.

use std::io::{self, Read, Write};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, Uri};
use serde_json::Value;
use tower::ServiceExt;

use crate::app;
use crate::config::Config;
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

    /// One JSON object a line, as the service answers, with the file's name
    #[arg(long)]
    json: bool,
}
