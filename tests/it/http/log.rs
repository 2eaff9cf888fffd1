//! What the log says of a request.

use std::io::Write;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::support::{Mood, png};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Takes what this thread logs from now on.
    fn open() -> (Self, tracing::subscriber::DefaultGuard) {
        // If there were but one subscriber, a place first reached on a thread without it would be
        // held to be of interest to nobody, here too. Fails if it is there already.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines of the service since the last call.
    fn lines(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        let text = String::from_utf8(bytes).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let ours = |line: &Value| {
            line["target"].as_str().is_some_and(|target| target.starts_with("nin_serve"))
        };
        lines.filter(ours).collect()
    }

    fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

#[tokio::test]
async fn a_request_is_one_line() {
    let (log, _open) = Log::open();
    let rig = rig();
    let mut request = classify(png(0));
    let headers = request.headers_mut();
    headers.insert("x-request-id", "mine".parse().expect("a value"));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert("traceparent", parent.parse().expect("a value"));
    rig.send(request).await.ok();
    let line = log.line();
    assert_eq!(line["level"], "INFO");
    let fields = &line["fields"];
    assert_eq!(fields["message"], "request");
    assert_eq!((&fields["method"], &fields["route"]), (&"POST".into(), &"/classify".into()));
    assert_eq!((&fields["status"], &fields["model"]), (&200.into(), &"first".into()));
    assert_eq!((&fields["pictures"], &fields["batch_size"]), (&1.into(), &1.into()));
    for duration in ["duration_ms", "decode_ms", "queue_ms", "inference_ms"] {
        assert!(fields[duration].as_f64().is_some(), "{duration}: {line}");
    }
    assert_eq!(line["span"]["request_id"], "mine");
    assert_eq!(line["span"]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn the_clients_errors_are_no_alarm() {
    let (log, _open) = Log::open();
    rig().post("/classify", "image/png", "no picture").await;
    let line = log.line();
    assert_eq!(
        (&line["level"], &line["fields"]["code"]),
        (&"INFO".into(), &"unsupported-image".into())
    );
}

#[tokio::test]
async fn a_cause_is_logged_once() {
    let (log, _open) = Log::open();
    let rig = rig();
    let causes = |lines: &[Value], cause: &str| {
        lines.iter().filter(|line| line.to_string().contains(cause)).count()
    };
    rig.get("/panic").await;
    let lines = log.lines();
    assert_eq!(causes(&lines, "secret panic"), 1, "{lines:?}");
    assert!(lines.iter().all(|line| line["level"] == "ERROR"));
    rig.first.engine.set(Mood::Fail);
    rig.send(classify(png(0))).await;
    let lines = log.lines();
    assert_eq!(causes(&lines, "secret cause"), 1, "{lines:?}");
    assert_eq!(lines.last().map(|line| &line["fields"]["status"]), Some(&500.into()));
}

#[tokio::test]
async fn probes_are_quiet_while_all_is_well() {
    let (log, _open) = Log::open();
    let rig = rig();
    rig.get("/health/ready").await;
    assert_eq!(log.line()["level"], "DEBUG");
    rig.service.drain();
    rig.get("/health/ready").await;
    assert_eq!(log.line()["level"], "WARN");
}
