//! `nin-serve healthcheck`: for containers, which have no curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::lifecycle::pinned_client;

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

    /// The service speaks HTTPS and has this certificate; the same variable as for `serve`
    #[arg(long, value_name = "FILE", env = "NIN_TLS_CERT")]
    tls_cert: Option<PathBuf>,
}

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;

pub fn run(Args { listen, timeout, tls_cert }: Args) -> anyhow::Result<()> {
    let address = reachable(listen);
    let ask = || {
        let stream = connect(address, timeout)?;
        match tls_cert {
            None => get_ready(stream),
            Some(certificate) => get_ready(pinned_client(&certificate, stream)?),
        }
    };
    let answer = ask().with_context(|| format!("asking {address}"))?;
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

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

fn get_ready(mut stream: impl Read + Write) -> anyhow::Result<String> {
    let request = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    ensure!(!answer.is_empty(), "the connection was closed without an answer");
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
