//! Over real connections: what a client sees that does not behave as in a textbook.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::support::png;

async fn serve(rig: &Rig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let router = rig.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Sends `request` before it reads anything; the answer up to the end of the connection.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("the server reads on");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("no reset before the answer");
    answer
}

fn upload(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /classify HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn problems_arrive_whole() {
    let rig = rig();
    let url = format!("http://{}", serve(&rig).await);
    let client = reqwest::Client::new();
    for (path, code) in [("/nowhere", "not-found"), ("/classify", "method-not-allowed")] {
        let answer = client.get(format!("{url}{path}")).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.expect("a whole problem");
        assert_eq!(problem["code"], code);
    }
    let answer = client.post(format!("{url}/classify")).body(png(255)).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["predictions"][0]["label"], "white");
}

#[tokio::test]
async fn a_client_that_sends_before_it_reads_still_gets_its_answer() {
    let rig = rig();
    let address = serve(&rig).await;
    let body = vec![0; 5 << 20];
    let announced = format!("content-length: {}\r\nconnection: close\r\n", body.len());
    let answer = exchange(address, &upload(&announced, &body)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("body-too-large"), "{answer}");

    let chunk = format!("{:x}\r\n", body.len());
    let chunked = [chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let headers = "transfer-encoding: chunked\r\nconnection: close\r\n";
    let answer = exchange(address, &upload(headers, &chunked)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let rig = rig();
    let headers = "content-length: 5000000\r\nexpect: 100-continue\r\n";
    let answer = exchange(serve(&rig).await, &upload(headers, b"")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_connection_outlives_a_refused_upload() {
    let rig = rig();
    let body = vec![0; 300_000];
    let refused = upload(&format!("content-length: {}\r\n", body.len()), &body);
    let next = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answers = exchange(serve(&rig).await, &[&refused[..], next].concat()).await;
    assert!(answers.starts_with("HTTP/1.1 413 "), "{answers}");
    assert!(answers.ends_with(r#"{"status":"live"}"#), "{answers}");
}

#[tokio::test]
async fn a_client_that_vanishes_in_its_upload_leaves_nothing() {
    let rig = rig();
    let mut stream = TcpStream::connect(serve(&rig).await).await.expect("a connection");
    let part = upload("content-length: 100000\r\n", &[0; 50_000]);
    stream.write_all(&part).await.expect("the server reads");
    rig.until(|rig| rig.service.budget().in_flight() > 0).await;
    drop(stream);
    rig.until(|rig| rig.service.budget().in_flight() == 0).await;
    rig.until(|rig| rig.service.in_flight() == 0).await;
    let record = rig.records.last();
    assert_eq!((record.route.as_deref(), record.status / 100), (Some("/classify"), 4));
}
