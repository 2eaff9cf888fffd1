//! What the internet sends, at the real binary on real sockets, while hundreds of connections
//! dribble their heads: each gets its answer, and the process lives on within its memory.
//!
//! Elsewhere: slow bodies and connection limits (`lifecycle::connections`), SIGTERM under load
//! (`lifecycle::shutdown`), corrupt model files at the start and on reload (`lifecycle::start`,
//! `lifecycle::reload`), an engine that panics (`engine`), clients that go (`http::context`), CMYK
//! and depths by their pixels (`preprocess::pillow`).

mod bombs;
mod content;
pub mod crafted;
mod weights;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use nin_serve::model::Preset;
use reqwest::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::lifecycle::process::Process;
use crate::support_models;

/// The model for photographs.
const COLOUR: &str = "colour";
/// The shipped model, which frames ink.
const INK: &str = "nin-mnist";
const MODELS: [&str; 2] = [COLOUR, INK];
const SLOW: usize = 300;

/// A server under siege.
struct Siege {
    process: Process,
    client: Client,
    _slow: Vec<TcpStream>,
}

impl Siege {
    fn begin(arguments: &[&str]) -> Self {
        let models = TempDir::new().expect("a temporary folder");
        support_models::write(models.path(), COLOUR, Preset::NinCifar);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(INK), models.path());
        let patient = ["--header-timeout", "10m", "--default-model", COLOUR];
        let process = Process::start_with(models, &[&patient, arguments].concat());
        let begin = |_| {
            let mut stream = process.connect();
            stream.write_all(b"POST /classify HTTP/1.1\r\nHost: test\r\nX-Slow: ").expect("sent");
            stream
        };
        let slow = (0..SLOW).map(begin).collect();
        Self { process, client: Client::new(), _slow: slow }
    }

    async fn post(&self, model: &str, kind: Option<&str>, body: Vec<u8>) -> Response {
        let url = self.process.url(&format!("/classify?model={model}"));
        let request = self.client.post(url).body(body);
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    /// Status, and the problem's code if it is one.
    async fn outcome(&self, model: &str, body: Vec<u8>) -> (u16, String) {
        outcome(self.post(model, None, body).await).await
    }

    /// The process is up and does its work.
    async fn assert_alive(&self) {
        for model in MODELS {
            let picture = crate::lifecycle::process::png(40);
            assert_eq!(self.outcome(model, picture).await, (200, String::new()));
        }
    }
}

async fn outcome(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a whole answer");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn copy(folder: &Path, to: &Path) {
    let to = to.join(folder.file_name().expect("a name"));
    std::fs::create_dir(&to).expect("a new folder");
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}
