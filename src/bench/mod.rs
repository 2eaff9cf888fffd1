//! How close the service comes to what the machine allows, measured in one run.
//!
//! The ceiling is taken in this process: the network alone, decoding alone, both without HTTP.
//! The service runs as a child process beside it. All cases take turns in every round, and each
//! round begins with another, so that whatever else the machine does hits all alike: ratios
//! of medians hold even where the figures themselves move.

mod beside;
mod ceiling;
mod client;
mod payload;
mod peer;
mod report;
mod results;
mod server;
mod targets;
mod usage;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::model::{ModelFolder, Precision, Team, folder};
use crate::preprocess::{prepare, prepare_in_full};
use crate::threads::Threads;
use ceiling::{BATCHES, Ceiling, kernels};
use payload::{LARGE, PHOTO, Payload, TINY};
pub use peer::Peer;
use report::Setting;
use results::{Case, Key, Quantity, Results};
use server::Server;

/// Of all random choices.
const SEED: u64 = 20_131_216;
/// Connections of the load client.
const CLIENTS: [usize; 3] = [1, 8, MANY];
const MANY: usize = 64;

/// What to measure, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder of model folders.
    pub models: PathBuf,
    /// Only these; empty: all.
    pub only: Vec<String>,
    /// None: as the server chooses.
    pub precision: Option<Precision>,
    pub rounds: usize,
    /// Of one measurement in one round.
    pub duration: Duration,
    /// In the endurance run at the end; none: it is left out.
    pub requests: Option<NonZeroUsize>,
    /// Measured beside ours on the photo.
    pub peer: Option<Peer>,
    pub threads: Threads,
}

/// The outcome, in both forms.
#[derive(Debug)]
pub struct Report {
    pub markdown: String,
    pub json: serde_json::Value,
}

/// Runs the plan; `progress` is told what is being done.
pub fn run(plan: &Plan, progress: impl Fn(&str)) -> anyhow::Result<Report> {
    let folders: Vec<_> =
        folder::load_all(&plan.models)?.into_iter().filter(|model| plan.wants(model)).collect();
    ensure!(!folders.is_empty(), "none of the models is in {}", plan.models.display());
    progress("making pictures");
    let payloads = payload::all()?;
    progress("starting the server");
    let server = Server::start(&plan.models, plan.precision)?;
    Team::All.assemble(plan.threads.inference);
    let (ceilings, results) = (BTreeMap::new(), Results::default());
    let mut bench = Bench { server, peer: plan.peer.clone(), payloads, ceilings, results };
    for model in &folders {
        let precision = bench.server.precision(&model.name)?;
        let ceiling = Ceiling::new(model, precision, plan.threads)?;
        bench.ceilings.insert(model.name.clone(), (ceiling, precision));
    }
    let cases = bench.cases();
    for round in 0..plan.rounds {
        for index in 0..cases.len() {
            let key = &cases[(index + round * cases.len() / plan.rounds) % cases.len()];
            progress(&format!("round {}/{}: {}, {}", round + 1, plan.rounds, key.model, key.case));
            bench.measure(key, plan.duration)?;
        }
    }
    if let Some(requests) = plan.requests {
        progress(&format!("{requests} requests"));
        bench.endure(requests.get())?;
    }
    Ok(bench.report(plan))
}

impl Plan {
    fn wants(&self, model: &ModelFolder) -> bool {
        self.only.is_empty() || self.only.contains(&model.name)
    }
}

struct Bench {
    server: Server,
    peer: Option<Peer>,
    payloads: Vec<Payload>,
    /// By model, with the arithmetic that the server runs it in.
    ceilings: BTreeMap<String, (Ceiling, Precision)>,
    results: Results,
}

impl Bench {
    fn cases(&self) -> Vec<Key> {
        let mut cases = vec![Case::Roof, Case::Forwards];
        for Payload { name: payload, .. } in &self.payloads {
            cases.extend([
                Case::Decode { payload },
                Case::Single { payload },
                Case::Batched { payload },
            ]);
            if *payload == LARGE {
                cases.push(Case::DecodeInFull { payload });
            }
            cases.extend(CLIENTS.map(|clients| Case::Server { payload, clients }));
            cases.push(Case::Beside { payload });
        }
        let of = |model: &String| {
            let key = |&case| Key { model: model.clone(), case };
            cases.iter().map(key).collect::<Vec<_>>()
        };
        let mut keys: Vec<_> = self.ceilings.keys().flat_map(of).collect();
        let ratio = Case::CpuRatio { payload: PHOTO, clients: MANY };
        let held = targets::CPU.map(|(model, _)| Key { model: model.to_owned(), case: ratio });
        keys.extend(held.into_iter().filter(|key| self.ceilings.contains_key(&key.model)));
        if self.peer.is_some() && self.ceilings.contains_key(targets::SMALL) {
            let mut peer = CLIENTS.map(|clients| Case::Peer { payload: PHOTO, clients }).to_vec();
            peer.push(Case::PeerRatio { payload: PHOTO, clients: MANY });
            let key = |case| Key { model: targets::SMALL.to_owned(), case };
            keys.extend(peer.into_iter().map(key));
        }
        keys
    }

    fn measure(&mut self, key: &Key, duration: Duration) -> anyhow::Result<()> {
        let (ceiling, _) = self.ceilings.get(&key.model).context("no such model")?;
        let payload = |name| {
            let payload = self.payloads.iter().find(|payload| payload.name == name);
            payload.context("no such payload")
        };
        // The ceiling needs few repetitions; the server's tail needs many.
        let short = duration / 3;
        let values = match key.case {
            Case::Roof => ceiling.roof(short),
            Case::Forwards | Case::Forward { .. } => {
                let duration = short * (kernels().count() * BATCHES.len()) as u32;
                for (kernel, batch, rate) in ceiling.forwards(duration)? {
                    let key = Key { case: Case::Forward { kernel, batch }, ..key.clone() };
                    self.results.add(&key, &[(Quantity::ImagesPerSecond, rate)]);
                }
                return Ok(());
            }
            Case::Decode { payload: name } => ceiling.decode(prepare, payload(name)?, short),
            Case::DecodeInFull { payload: name } => {
                ceiling.decode(prepare_in_full, payload(name)?, short)
            }
            Case::Single { payload: name } => ceiling.single(payload(name)?, short),
            Case::Batched { payload: name } => ceiling.batched(payload(name)?, 2 * short),
            Case::Server { payload: name, clients } => {
                self.server.measure(&key.model, payload(name)?, (clients, duration))
            }
            Case::Peer { payload: name, clients } => {
                let peer = self.peer.as_ref().context("no peer")?;
                peer.measure(payload(name)?, (clients, duration))
            }
            Case::Beside { payload: name } => {
                beside::added(ceiling, &self.server, (&key.model, payload(name)?), duration)
            }
            Case::CpuRatio { payload: name, clients } => {
                let payload = payload(name)?;
                let ours = || self.server.measure(&key.model, payload, (clients, duration));
                beside::ratio(Quantity::Cpu, ours, || ceiling.batched(payload, duration))
            }
            Case::PeerRatio { payload: name, clients } => {
                let (payload, peer) = (payload(name)?, self.peer.as_ref().context("no peer")?);
                let ours = || self.server.measure(&key.model, payload, (clients, duration));
                let theirs = || peer.measure(payload, (clients, duration));
                beside::ratio(Quantity::ImagesPerSecond, ours, theirs)
            }
            Case::Endurance { requests } => {
                self.server.endure(&key.model, payload(TINY)?, requests)
            }
        };
        let values = values.with_context(|| format!("{}, {}", key.model, key.case))?;
        self.results.add(key, &values);
        Ok(())
    }

    /// Asks the model that answers soonest.
    fn endure(&mut self, requests: usize) -> anyhow::Result<()> {
        let cost = |(_, (ceiling, _)): &(&String, &(Ceiling, Precision))| ceiling.multiplications();
        let (model, _) = self.ceilings.iter().min_by_key(cost).context("no models")?;
        let key = Key { model: model.clone(), case: Case::Endurance { requests } };
        self.measure(&key, Duration::ZERO)
    }

    fn report(self, plan: &Plan) -> Report {
        let models: Vec<_> = self.ceilings.keys().cloned().collect();
        let verdicts = targets::verdicts(&self.results, &models, Precision::Bf16.is_native());
        let mean = |payload: &Payload| {
            payload.files.iter().map(Vec::len).sum::<usize>() / payload.files.len().max(1)
        };
        let setting = Setting {
            version: env!("CARGO_PKG_VERSION"),
            cpu: report::cpu_name(),
            threads: plan.threads.to_string(),
            rounds: plan.rounds,
            models: self
                .ceilings
                .iter()
                .map(|(name, (_, precision))| (name.clone(), precision.to_string()))
                .collect(),
            payloads: self.payloads.iter().map(|payload| (payload.name, mean(payload))).collect(),
        };
        Report {
            markdown: report::markdown(&setting, &self.results, &verdicts),
            json: report::json(&setting, &self.results, &verdicts),
        }
    }
}
