//! The service as a process of its own, so that its CPU time and memory can be told from ours.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::client::{Connection, Load};
use super::payload::Payload;
use super::results::Quantity;
use super::usage::Usage;
use crate::model::Precision;

/// Loading and warming up all models.
const START: Duration = Duration::from_secs(300);

/// Connections of the endurance run.
const ENDURANCE_CLIENTS: usize = 64;

/// Killed on drop.
pub struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `nin-serve serve` and waits until it is ready.
    pub fn start(models: &Path, precision: Option<Precision>) -> anyhow::Result<Self> {
        // Free a moment ago; that somebody else takes it meanwhile is told by the server.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--listen")
            .arg(address.to_string())
            .arg("--models")
            .arg(models)
            .arg("--precision")
            .arg(precision.map_or("auto".to_owned(), |precision| precision.to_string()))
            .args(["--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("starting the server")?;
        let mut server = Self { process, address };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < START {
            if let Some(status) = self.process.try_wait()? {
                bail!("the server has ended: {status}");
            }
            let ready = Connection::open(self.address).and_then(|mut c| c.get("/health/ready"));
            if matches!(ready, Ok((200, _))) {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        bail!("the server is not ready after {} s", START.as_secs())
    }

    /// The arithmetic that the server runs a model in.
    pub fn precision(&self, model: &str) -> anyhow::Result<Precision> {
        let info = self.json(&format!("/models/{model}"))?;
        match info["precision"].as_str() {
            Some("bf16") => Ok(Precision::Bf16),
            _ => Ok(Precision::F32),
        }
    }

    pub fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.address)
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of_process(self.process.id())
    }

    /// Measures one load.
    pub fn measure(
        &self,
        model: &str,
        payload: &Payload,
        (clients, duration): (usize, Duration),
    ) -> anyhow::Result<Vec<(Quantity, f64)>> {
        let target = format!("/classify?model={model}");
        let load = Load {
            address: self.address,
            target: &target,
            bodies: &payload.files,
            clients,
            duration,
        };
        load.warm_up()?;
        let (server, own, batches) = (self.usage()?, Usage::own()?, self.batches(model)?);
        let outcome = load.run()?;
        let (server_now, own_now) = (self.usage()?, Usage::own()?);
        let (runs, pictures) = self.batches(model)?;
        let answered = outcome.latencies.len() as f64;
        let per_thousand = |now: Usage, then: Usage| {
            1e3 * (now.cpu_seconds - then.cpu_seconds) / answered.max(1.0)
        };
        let mut values = outcome.values();
        values.extend([
            (Quantity::Cpu, per_thousand(server_now, server)),
            (Quantity::ClientCpu, per_thousand(own_now, own)),
            (Quantity::Batch, (pictures - batches.1) / (runs - batches.0).max(1.0)),
            (Quantity::Resident, server_now.resident as f64 / 1e6),
        ]);
        Ok(values)
    }

    /// Sends `requests` in all, and tells how memory has grown since the first tenth of them.
    pub fn endure(
        &self,
        model: &str,
        payload: &Payload,
        requests: usize,
    ) -> anyhow::Result<Vec<(Quantity, f64)>> {
        let target = format!("/classify?model={model}");
        let (address, bodies) = (self.address, &payload.files);
        let (clients, duration) = (ENDURANCE_CLIENTS, Duration::from_secs(1));
        let load = Load { address, target: &target, bodies, clients, duration };
        let (mut answered, mut errors, mut early) = (0, 0, None);
        while answered < requests {
            let outcome = load.run()?;
            ensure!(!outcome.latencies.is_empty(), "no request was answered with 200");
            answered += outcome.latencies.len();
            errors += outcome.errors;
            if early.is_none() && answered >= requests / 10 {
                early = Some(self.usage()?.resident);
            }
        }
        let (early, end) = (early.unwrap_or_default() as f64, self.usage()?.resident as f64);
        Ok(vec![
            (Quantity::Growth, end / early),
            (Quantity::Resident, end / 1e6),
            (Quantity::Errors, errors as f64),
        ])
    }

    /// Runs of the engine so far, and the pictures in them.
    fn batches(&self, model: &str) -> anyhow::Result<(f64, f64)> {
        let stats = self.json(&format!("/v2/models/{model}/stats"))?;
        let batches = stats["model_stats"][0]["batch_stats"].as_array();
        let batches = batches.context("the statistics have no batches")?;
        Ok(batches.iter().fold((0.0, 0.0), |(runs, pictures), batch| {
            let count = batch["compute_infer"]["count"].as_f64().unwrap_or_default();
            let size = batch["batch_size"].as_f64().unwrap_or_default();
            (runs + count, pictures + count * size)
        }))
    }

    fn json(&self, target: &str) -> anyhow::Result<Value> {
        match Connection::open(self.address)?.get(target)? {
            (200, body) => Ok(serde_json::from_slice(&body)?),
            (status, _) => bail!("{target} answered {status}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
