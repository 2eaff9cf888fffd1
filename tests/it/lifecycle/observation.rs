//! Metrics, keys, cross-origin requests.

use std::io::Write;
use std::time::{Duration, Instant};

use super::process::{PATIENCE, Process, classify, png, status};

/// The value of a series that is written as `name`.
fn value(metrics: &str, name: &str) -> Option<f64> {
    let line =
        metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|l| l.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_metrics_are_there_and_count() {
    let process = Process::start(&[]);
    assert_eq!(status(&process.exchange(classify(&png(40)))), "200");
    assert_eq!(status(&process.exchange(classify(b"text"))), "415");
    assert_eq!(status(&process.get("/nothing/here", "")), "404");
    let metrics = process.get("/metrics", "");
    for (name, expected) in [
        ("nin_http_requests_total{route=\"/classify\",status=\"200\"}", 1.0),
        ("nin_http_requests_total{route=\"/classify\",status=\"415\"}", 1.0),
        ("nin_http_requests_total{route=\"unmatched\",status=\"404\"}", 1.0),
        ("nin_http_request_duration_seconds_count{route=\"/classify\"}", 2.0),
        ("nin_images_total{model=\"small\",outcome=\"ok\"}", 1.0),
        ("nin_images_total{model=\"small\",outcome=\"unsupported-image\"}", 1.0),
        ("nin_decode_duration_seconds_count{format=\"png\"}", 1.0),
        ("nin_queue_wait_seconds_count{model=\"small\"}", 1.0),
        ("nin_batch_size_sum{model=\"small\"}", 1.0),
        ("nin_inference_duration_seconds_count{model=\"small\"}", 1.0),
        ("nin_queue_depth{model=\"small\"}", 0.0),
        ("nin_inflight_bytes", 0.0),
        ("nin_jobs_dropped_total{model=\"small\",reason=\"client-gone\"}", 0.0),
        ("nin_jobs_dropped_total{model=\"small\",reason=\"deadline\"}", 0.0),
        ("nin_engine_restarts_total{model=\"small\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name} in\n{metrics}");
    }
    assert!(metrics.contains("nin_model_info{model=\"small\",precision=\"f32\""), "{metrics}");
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_threads",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(value(&metrics, name).is_some_and(|value| value > 0.0), "{name} in\n{metrics}");
    }
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
}

#[test]
fn gauges_return_to_zero_after_clients_that_hang_up() {
    let process = Process::start(&[]);
    for _ in 0..20 {
        let mut stream = process.connect();
        let whole = classify(&png(600));
        let part = whole.len() / 2;
        stream.write_all(&whole[..part]).expect("sent");
        let mut stream = process.connect();
        stream.write_all(&whole).expect("sent");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = process.get("/metrics", "");
        let depth = value(&metrics, "nin_queue_depth{model=\"small\"}");
        if (value(&metrics, "nin_inflight_bytes"), depth) == (Some(0.0), Some(0.0)) {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_key_is_asked_for() {
    let process = Process::start(&["--api-key", "s3cret"]);
    let answer = process.get("/models", "");
    assert_eq!(status(&answer), "401");
    let lower = answer.to_lowercase();
    assert!(
        lower.contains("www-authenticate: bearer") && lower.contains("unauthorized"),
        "{answer}"
    );
    for wrong in
        ["X-API-Key: s3cre\r\n", "X-API-Key: S3CRET\r\n", "Authorization: Basic s3cret\r\n"]
    {
        assert_eq!(status(&process.get("/models", wrong)), "401", "{wrong}");
    }
    for right in [
        "X-API-Key: s3cret\r\n",
        "Authorization: Bearer s3cret\r\n",
        "authorization: bearer s3cret\r\n",
    ] {
        assert_eq!(status(&process.get("/models", right)), "200", "{right}");
    }
    for open in ["/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(status(&process.get(open, "")), "200", "{open}");
    }
}

#[test]
fn metrics_can_be_closed() {
    let process = Process::start(&["--api-key", "s3cret", "--metrics-access", "key"]);
    assert_eq!(status(&process.get("/metrics", "")), "401");
    assert_eq!(status(&process.get("/metrics", "X-API-Key: s3cret\r\n")), "200");
    let process = Process::start(&["--metrics-access", "off"]);
    assert_eq!(status(&process.get("/metrics", "")), "404");
}

#[test]
fn secrets_do_not_get_into_the_log() {
    let process = Process::start(&["--api-key", "s3cret", "--log-level", "debug"]);
    process.get("/models?api_key=s3cret", "X-API-Key: s3cret\r\n");
    process.signal("TERM");
    let log = process.log_to_end();
    assert!(log.contains("/models"), "the request is logged: {log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn web_pages_of_other_origins_are_let_in_only_if_configured() {
    let asks = "Origin: https://example.org\r\n";
    let allowed = "access-control-allow-origin: https://example.org";
    let process = Process::start(&[]);
    assert!(!process.get("/models", asks).to_lowercase().contains("access-control"));
    let process = Process::start(&["--cors-origin", "https://example.org", "--api-key", "k"]);
    let answer = process.get("/health", asks).to_lowercase();
    assert!(answer.contains(allowed), "{answer}");
    let other = process.get("/health", "Origin: https://example.com\r\n").to_lowercase();
    assert!(!other.contains("access-control-allow-origin: https://example.com"), "{other}");
    // Browsers ask before they send the key.
    let answer = process.exchange(format!(
        "OPTIONS /classify HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{asks}\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-api-key\r\n\r\n"
    ));
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("x-api-key"), "{answer}");
}
