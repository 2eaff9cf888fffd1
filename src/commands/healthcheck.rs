//! `nin-serve healthcheck`: for containers, which have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Ask the service on this machine whether it is ready; exit 0 if it is, else 1
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the service listens; the same variable as for `serve`
    #[arg(long, value_name = "ADDRESS", env = "NIN_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// How long it may take to answer
    #[arg(long, value_name = "TIME", default_value = "3s")]
    #[arg(value_parser = crate::config::positive_duration)]
    timeout: Duration,
}

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;

pub fn run(Args { listen, timeout }: Args) -> anyhow::Result<()> {
    let address = reachable(listen);
    let answer = get_ready(address, timeout).with_context(|| format!("asking {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => bail!("not ready: {status} {}", body.trim()),
        None => bail!("{address} does not speak HTTP"),
    }
}

/// The unspecified address means every address of this machine; the loopback is one of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn get_ready(address: SocketAddr, timeout: Duration) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    ensure!(!answer.is_empty(), "the connection was closed without an answer");
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
