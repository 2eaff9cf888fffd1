use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::process::{PATIENCE, Process, classify, png, read_all, status};

/// A request that has been accepted and can't be answered: its body does not come.
fn unfinished(process: &Process) -> std::net::TcpStream {
    let mut stream = process.connect();
    let whole = classify(&png(40));
    stream.write_all(&whole[..whole.len() - 10]).expect("sent");
    let deadline = Instant::now() + PATIENCE;
    while !process.get("/health", "").contains("\"requests\":1") {
        assert!(Instant::now() < deadline, "the request is never accepted");
    }
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost() {
    let mut process = Process::start(&[]);
    let answered = Arc::new(AtomicUsize::new(0));
    let picture = png(400);
    let mut clients = Vec::new();
    for number in 0..16 {
        let (url, picture, answered) =
            (process.url("/classify"), picture.clone(), Arc::clone(&answered));
        let client = reqwest::Client::builder().http2_prior_knowledge();
        // Some keep their connection, some open one for each request, some speak HTTP/2.
        let client = match number % 3 {
            0 => reqwest::Client::builder().pool_max_idle_per_host(0),
            1 => reqwest::Client::builder(),
            _ => client,
        };
        let client = client.retry(reqwest::retry::never()).build().expect("a client");
        clients.push(tokio::spawn(async move {
            loop {
                match client.post(&url).body(picture.clone()).send().await {
                    Ok(answer) => {
                        assert_eq!(answer.status(), 200);
                        answer.bytes().await.expect("a whole answer");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    // The port is closed: this request was never accepted.
                    Err(error) if error.is_connect() => return,
                    Err(error) => panic!("client {number}: {error:?}"),
                }
            }
        }));
    }
    let deadline = Instant::now() + PATIENCE;
    while answered.load(Ordering::Relaxed) < 100 {
        assert!(Instant::now() < deadline, "too few answers");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.signal("TERM");
    for client in clients {
        client.await.expect("no request was lost");
    }
    assert!(process.wait().success());
}

#[test]
fn readiness_drops_at_once_and_the_port_stays_open_for_the_delay() {
    let mut process = Process::start(&["--shutdown-delay", "2s"]);
    process.signal("INT");
    process.log_line("draining");
    let answer = process.get("/health/ready", "");
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(answer.contains("shutting down"), "{answer}");
    assert_eq!(status(&process.get("/health/live", "")), "200");
    let mut stream = process.connect();
    let request = String::from_utf8_lossy(&classify(b"x")).replace("Connection: close\r\n", "");
    stream.write_all(request.as_bytes()).expect("sent");
    let answer = read_all(&mut stream).to_lowercase();
    assert!(answer.starts_with("http/1.1 415"), "it still answers: {answer}");
    assert!(answer.contains("connection: close"), "it sends clients away: {answer}");
    assert!(process.wait().success());
}

#[test]
fn an_accepted_request_is_waited_for() {
    let mut process = Process::start(&[]);
    let mut stream = unfinished(&process);
    process.signal("TERM");
    process.log_line("draining");
    // Longer than idle connections are given.
    std::thread::sleep(Duration::from_millis(800));
    let whole = classify(&png(40));
    stream.write_all(&whole[whole.len() - 10..]).expect("sent");
    let answer = read_all(&mut stream);
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(process.wait().success());
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let mut process = Process::start(&[]);
    let mut idle = process.connect();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).expect("an answer") > 0);
    let _silent = process.connect();
    let signalled = Instant::now();
    process.signal("TERM");
    assert!(process.wait().success());
    assert!(signalled.elapsed() < Duration::from_secs(9), "before any timeout");
}

#[test]
fn a_second_signal_aborts() {
    let mut process = Process::start(&[]);
    let _stream = unfinished(&process);
    process.signal("TERM");
    process.log_line("draining");
    process.signal("TERM");
    let status = process.wait();
    assert!(!status.success(), "{status}");
    process.log_line("aborted by a second signal");
}

#[test]
fn the_drain_timeout_bounds_the_end() {
    let mut process = Process::start(&["--drain-timeout", "300ms"]);
    let _stream = unfinished(&process);
    process.signal("TERM");
    let status = process.wait();
    assert_eq!(status.code(), Some(1));
    process.log_line("--drain-timeout");
}
