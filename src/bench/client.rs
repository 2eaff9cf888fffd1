//! A load client: connections that each ask, wait for the answer, and ask again.
//!
//! Blocking sockets and a bare minimum of HTTP, so that it takes little of the machine that it
//! shares with the server.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::results::{Quantity, percentile};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a connection does.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    pub address: SocketAddr,
    /// Path and query of the POST.
    pub target: &'a str,
    /// Sent in turn.
    pub bodies: &'a [Vec<u8>],
    pub clients: usize,
    pub duration: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Milliseconds of each answer of status 200, ascending.
    pub latencies: Vec<f64>,
    /// Answers of another status, and broken connections.
    pub errors: usize,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Outcome {
    pub fn values(&self) -> Vec<(Quantity, f64)> {
        vec![
            (Quantity::ImagesPerSecond, self.latencies.len() as f64 / self.elapsed.as_secs_f64()),
            (Quantity::P50, percentile(&self.latencies, 0.5)),
            (Quantity::P99, percentile(&self.latencies, 0.99)),
            (Quantity::Errors, self.errors as f64),
        ]
    }
}

impl Load<'_> {
    /// Runs for a fifth of the duration, so that caches and threads are warm.
    pub fn warm_up(&self) -> anyhow::Result<()> {
        Load { duration: self.duration / 5, ..*self }.run().map(drop)
    }

    /// Runs all clients at once for the duration; requests that are under way are waited for.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let start = Barrier::new(self.clients);
        let outcomes = thread::scope(|scope| {
            let client = |index: usize| {
                let start = &start;
                thread::Builder::new()
                    .name(format!("client-{index}"))
                    .stack_size(256 << 10)
                    .spawn_scoped(scope, move || self.client(index, start))
            };
            let clients: Vec<_> = (0..self.clients).map(client).collect::<Result<_, _>>()?;
            anyhow::Ok(clients.into_iter().map(|client| client.join()).collect::<Vec<_>>())
        })?;
        let mut all = Outcome::default();
        for outcome in outcomes {
            let Ok(mut outcome) = outcome else { bail!("a client panicked") };
            all.latencies.append(&mut outcome.latencies);
            all.errors += outcome.errors;
            all.elapsed = all.elapsed.max(outcome.elapsed);
        }
        all.latencies.sort_by(f64::total_cmp);
        Ok(all)
    }

    fn client(&self, index: usize, start: &Barrier) -> Outcome {
        let mut outcome = Outcome::default();
        let mut connection = Connection::open(self.address);
        start.wait();
        let started = Instant::now();
        let mut bodies = self.bodies.iter().cycle().skip(index);
        while started.elapsed() < self.duration {
            let Some(body) = bodies.next() else { break };
            let asked = Instant::now();
            let answer = match &mut connection {
                Ok(connection) => connection.post(self.target, body),
                Err(_) => Err(anyhow::anyhow!("not connected")),
            };
            match answer {
                Ok(200) => outcome.latencies.push(asked.elapsed().as_secs_f64() * 1e3),
                Ok(_) => outcome.errors += 1,
                Err(_) => {
                    outcome.errors += 1;
                    connection = Connection::open(self.address);
                }
            }
        }
        outcome.elapsed = started.elapsed();
        outcome
    }
}

/// A kept-alive HTTP/1.1 connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), body: Vec::new() })
    }

    /// The status of the answer.
    pub fn post(&mut self, target: &str, body: &[u8]) -> anyhow::Result<u16> {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        // Head and body in one call, as HTTP libraries send them.
        let stream = self.stream.get_mut();
        let sent = stream.write_vectored(&[IoSlice::new(head.as_bytes()), IoSlice::new(body)])?;
        stream.write_all(head.as_bytes().get(sent..).unwrap_or_default())?;
        stream.write_all(&body[sent.saturating_sub(head.len())..])?;
        self.answer()
    }

    /// Status and body of the answer.
    pub fn get(&mut self, target: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        let status = self.answer()?;
        Ok((status, std::mem::take(&mut self.body)))
    }

    fn answer(&mut self) -> anyhow::Result<u16> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.context("no status line")?;
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            }
        }
        self.body.resize(length.context("the answer has no length")?, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(status)
    }
}
