//! Measured values by what was measured; every round adds one.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub model: String,
    pub case: Case,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// What the forward pass would do if all its multiplications ran at the rate of a large f32
    /// matrix product.
    Roof,
    /// The network alone, in one of the arithmetics and memory orders.
    Forward { kernel: &'static str, batch: usize },
    /// Every [`Case::Forward`], by turns.
    Forwards,
    /// Bytes to pixels of the network's input size, as served.
    Decode { payload: &'static str },
    /// The same without any short cut: all pixels are decoded.
    DecodeInFull { payload: &'static str },
    /// Bytes to probabilities, one picture after the other.
    Single { payload: &'static str },
    /// Bytes to probabilities, in batches.
    Batched { payload: &'static str },
    /// Over HTTP on the loopback interface.
    Server { payload: &'static str, clients: usize },
    /// The same of another server.
    Peer { payload: &'static str, clients: usize },
    /// One picture after the other, over HTTP and in this process by turns.
    Beside { payload: &'static str },
    /// Processor time over HTTP by that of the batched pipeline, by turns.
    CpuRatio { payload: &'static str, clients: usize },
    /// Pictures a second over HTTP by those of the other server, by turns.
    PeerRatio { payload: &'static str, clients: usize },
    /// Over HTTP, so many requests in all.
    Endurance { requests: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    ImagesPerSecond,
    /// Milliseconds for one picture.
    P50,
    P99,
    /// Milliseconds that HTTP takes more for a picture.
    Added,
    /// Over HTTP by what it is held against.
    Ratio,
    /// CPU-seconds per 1000 pictures of the process that classifies.
    Cpu,
    /// CPU-seconds per 1000 pictures of the load client.
    ClientCpu,
    /// Mean pictures in a run of the engine.
    Batch,
    /// MB in RAM at the end of the measurement.
    Resident,
    /// MB in RAM at the end by those after the first tenth.
    Growth,
    /// Answers that were not 200.
    Errors,
}

/// Median and extremes over the rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Debug, Default)]
pub struct Results(BTreeMap<Key, BTreeMap<Quantity, Vec<f64>>>);

impl Results {
    pub fn add(&mut self, key: &Key, values: &[(Quantity, f64)]) {
        let row = self.0.entry(key.clone()).or_default();
        for &(quantity, value) in values {
            row.entry(quantity).or_default().push(value);
        }
    }

    pub fn spread(&self, model: &str, case: Case, quantity: Quantity) -> Option<Spread> {
        Spread::of(self.0.get(&Key { model: model.to_owned(), case })?.get(&quantity)?)
    }

    pub fn median(&self, model: &str, case: Case, quantity: Quantity) -> Option<f64> {
        self.spread(model, case, quantity).map(|spread| spread.median)
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, BTreeMap<Quantity, Spread>)> {
        self.0.iter().map(|(key, row)| {
            let spreads = row.iter().filter_map(|(&q, values)| Some((q, Spread::of(values)?)));
            (key, spreads.collect())
        })
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { median: percentile(&sorted, 0.5), min, max })
    }
}

/// The value below which a `share` of `sorted` lies; of two in the middle their mean. 0 of none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roof => write!(f, "roof: the rate of a large f32 matrix product"),
            Self::Forward { kernel, batch } => write!(f, "forward, {kernel}, batch {batch}"),
            Self::Forwards => write!(f, "forward passes"),
            Self::Decode { payload } => write!(f, "decode and resize, {payload}"),
            Self::DecodeInFull { payload } => write!(f, "decode all and resize, {payload}"),
            Self::Single { payload } => write!(f, "pipeline, one by one, {payload}"),
            Self::Batched { payload } => write!(f, "pipeline, batched, {payload}"),
            Self::Server { payload, clients } => write!(f, "HTTP, {clients} clients, {payload}"),
            Self::Peer { payload, clients } => write!(f, "peer, {clients} clients, {payload}"),
            Self::Beside { payload } => write!(f, "HTTP above one process, {payload}"),
            Self::CpuRatio { payload, clients } => {
                write!(f, "CPU time of HTTP / batched pipeline, {clients} clients, {payload}")
            }
            Self::PeerRatio { payload, clients } => {
                write!(f, "images/s of HTTP / peer, {clients} clients, {payload}")
            }
            Self::Endurance { requests } => write!(f, "HTTP, {requests} requests"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_extremes_are_those_of_the_rounds() {
        let mut results = Results::default();
        let case = Case::Decode { payload: "x" };
        let key = Key { model: "m".to_owned(), case };
        for value in [5.0, 1.0, 3.0, 4.0] {
            results.add(&key, &[(Quantity::P50, value)]);
        }
        let spread = results.spread("m", case, Quantity::P50).expect("it was added");
        assert_eq!((spread.median, spread.min, spread.max), (3.5, 1.0, 5.0));
        assert!(results.median("m", case, Quantity::P99).is_none());
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.99), 99.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
    }
}
