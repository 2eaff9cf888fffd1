use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::process::{Process, classify, png, read_all, status};

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let process = Process::start(&["--header-timeout", "300ms"]);
    for part in
        ["", "POST /classify HT", "POST /classify HTTP/1.1\r\nHost: te", "PRI * HTTP/2.0\r\n"]
    {
        let mut stream = process.connect();
        stream.write_all(part.as_bytes()).expect("sent");
        let started = Instant::now();
        assert_eq!(read_all(&mut stream), "", "{part:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{part:?}");
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let process = Process::start(&["--idle-timeout", "300ms"]);
    let mut stream = process.connect();
    for _ in 0..2 {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
    }
    let answers = read_all(&mut stream);
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}

#[test]
fn a_slow_body_is_answered_408() {
    let process = Process::start(&["--body-timeout", "300ms"]);
    let mut stream = process.connect();
    let whole = classify(&png(40));
    stream.write_all(&whole[..whole.len() - 10]).expect("sent");
    let answer = read_all(&mut stream);
    assert_eq!(status(&answer), "408", "{answer}");
    assert!(answer.contains("request-timeout"), "{answer}");
}

#[test]
fn uri_and_head_have_limits() {
    let process = Process::start(&[]);
    let long = |bytes: usize| "x".repeat(bytes);
    assert_eq!(status(&process.get(&format!("/models/{}", long(8000)), "")), "404");
    let answer = process.get(&format!("/models/{}", long(9000)), "");
    assert_eq!(status(&answer), "414");
    assert!(answer.contains("uri-too-long"), "{answer}");
    assert_eq!(status(&process.get(&format!("/{}", long(100_000)), "")), "414");
    let header = |bytes| format!("X-Padding: {}\r\n", long(bytes));
    assert_eq!(status(&process.get("/health/live", &header(30_000))), "200");
    let answer = process.get("/health/live", &header(33_000));
    assert_eq!(status(&answer), "431");
    assert!(answer.contains("headers-too-large"), "{answer}");
    assert_eq!(status(&process.get("/health/live", &header(200_000))), "431");
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert_eq!(status(&process.get("/health/live", &many)), "431");
}

/// Heads that never end, each kept alive by a byte now and then.
fn slowloris(process: &Process, count: usize) -> Vec<TcpStream> {
    let begin = |_| {
        let mut stream = process.connect();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: test\r\nX-Slow: ").expect("sent");
        stream
    };
    (0..count).map(begin).collect()
}

#[test]
fn an_honest_client_gets_in_between_500_that_never_finish() {
    for limit in ["900", "100"] {
        let process = Process::start(&["--max-connections", limit]);
        let mut slow = slowloris(&process, 500);
        for stream in &mut slow {
            // Some may have been cut.
            let _ = stream.write_all(b"z");
        }
        let started = Instant::now();
        for _ in 0..10 {
            let answer = process.exchange(classify(&png(40)));
            assert_eq!(status(&answer), "200", "limit {limit}: {answer}");
        }
        assert!(started.elapsed() < Duration::from_secs(8), "limit {limit}: before any timeout");
    }
}

#[test]
fn an_honest_client_gets_in_between_bodies_that_never_end() {
    let process = Process::start(&["--max-connections", "50"]);
    let whole = classify(&png(40));
    let begin = |_| {
        let mut stream = process.connect();
        // Some may be cut while they send.
        let _ = stream.write_all(&whole[..whole.len() - 10]);
        stream
    };
    let _slow: Vec<TcpStream> = (0..100).map(begin).collect();
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(status(&process.exchange(&whole)), "200");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "before any timeout");
}

/// A connection whose picture the server was seen to decode.
fn seen_at_work(process: &Process, request: &[u8]) -> TcpStream {
    // On a quick or a busy machine it may be done before anyone has looked.
    for _ in 0..50 {
        let mut stream = process.connect();
        stream.write_all(request).expect("sent");
        stream.set_nonblocking(true).expect("a socket");
        let unanswered = |stream: &TcpStream| stream.peek(&mut [0]).is_err();
        while unanswered(&stream) {
            if process.get("/health", "").contains("\"decoding\":1") {
                stream.set_nonblocking(false).expect("a socket");
                return stream;
            }
        }
    }
    panic!("never seen at work");
}

#[test]
fn a_request_that_is_being_answered_is_not_cut_for_a_new_one() {
    let limits = ["--max-connections", "2", "--max-body", "100MiB", "--memory-budget", "1GiB"];
    let process = Process::start(&limits);
    let mut busy = seen_at_work(&process, &classify(&png(4000)));
    for _ in 0..20 {
        let _idle = process.connect();
        assert_eq!(status(&process.get("/health/live", "")), "200");
    }
    let answer = read_all(&mut busy);
    assert_eq!(status(&answer), "200", "{answer}");
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let process = Process::start(&[]);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let answer =
        client.post(process.url("/classify")).body(png(40)).send().await.expect("answered");
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
}
