//! Another server, measured in the same run.

use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::client::Load;
use super::payload::Payload;
use super::results::Quantity;

/// It takes pictures as bodies of a POST, and is up already: `scripts/peer.py`, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    address: SocketAddr,
    /// Path and query.
    target: String,
}

impl Peer {
    /// Measures one load.
    pub fn measure(
        &self,
        payload: &Payload,
        (clients, duration): (usize, Duration),
    ) -> anyhow::Result<Vec<(Quantity, f64)>> {
        let (address, target, bodies) = (self.address, &self.target, &payload.files);
        let load = Load { address, target, bodies, clients, duration };
        load.warm_up()?;
        Ok(load.run()?.values())
    }
}

impl FromStr for Peer {
    type Err = AddrParseError;

    /// Reads `127.0.0.1:8000/classify`.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        let (address, path) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self { address: address.parse()?, target: format!("/{path}") })
    }
}
