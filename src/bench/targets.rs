//! What the service is held to, and whether it gets there.

use serde::Serialize;

use super::MANY;
use super::ceiling::{BATCHES, CHANNELS_LAST, EAGER, PACKED, SERVED_BF16, SERVED_F32};
use super::payload::{LARGE, PHOTO};
use super::results::{Case, Quantity, Results};

/// Models that have targets of their own.
pub const SMALL: &str = "nin-cifar10";
const WIDE: &str = "nin-imagenette";
/// What processor time over HTTP may be, by that of the batched pipeline.
pub const CPU: [(&str, f64); 2] = [(SMALL, 1.15), (WIDE, 1.10)];

const CPU_RATIO: Case = Case::CpuRatio { payload: PHOTO, clients: MANY };
const PEER_RATIO: Case = Case::PeerRatio { payload: PHOTO, clients: MANY };

/// One line of the verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub target: String,
    /// None if it was not measured in this run.
    pub measured: Option<f64>,
    pub limit: f64,
    pub passes: Option<bool>,
}

/// A limit on a figure.
#[derive(Debug, Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Verdict {
    fn new(target: impl Into<String>, measured: Option<f64>, limit: Limit) -> Self {
        let (limit, passes) = match limit {
            Limit::AtMost(limit) => (limit, measured.map(|value| value <= limit)),
            Limit::AtLeast(limit) => (limit, measured.map(|value| value >= limit)),
        };
        Self { target: target.into(), measured, limit, passes }
    }

    /// `pass`, `falls short` or `not measured`.
    pub fn word(&self) -> &'static str {
        match self.passes {
            Some(true) => "pass",
            Some(false) => "falls short",
            None => "not measured",
        }
    }
}

/// All targets. `bf16` tells whether this processor multiplies bf16 natively.
pub fn verdicts(results: &Results, models: &[String], bf16: bool) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (model, limit) in CPU {
        verdicts.push(Verdict::new(
            format!("{model}, {PHOTO}: CPU time over HTTP at 64 clients / batched pipeline"),
            results.median(model, CPU_RATIO, Quantity::Ratio),
            Limit::AtMost(limit),
        ));
        verdicts.push(Verdict::new(
            format!("{model}, {LARGE}: time to decode and resize / the same with all pixels"),
            decode_ratio(results, model),
            Limit::AtMost(0.5),
        ));
    }
    for model in models {
        latency(results, model, &mut verdicts);
        forward(results, model, bf16, &mut verdicts);
    }
    let rate = |case| results.median(SMALL, case, Quantity::ImagesPerSecond);
    let of_roof = rate(server(PHOTO, MANY)).zip(rate(Case::Roof)).map(|(rate, roof)| rate / roof);
    verdicts.push(Verdict::new(
        format!("{SMALL}, {PHOTO}: images/s at 64 clients / roof of the forward pass in f32"),
        of_roof,
        Limit::AtLeast(0.85),
    ));
    let of_peer = results.median(SMALL, PEER_RATIO, Quantity::Ratio);
    let name = format!("{SMALL}, {PHOTO}: images/s at 64 clients / the peer's (--peer)");
    verdicts.push(Verdict::new(name, of_peer, Limit::AtLeast(2.0)));
    verdicts.push(Verdict::new(
        "MB resident, all models loaded, largest of all loads",
        resident(results),
        Limit::AtMost(450.0),
    ));
    let growth = each(results, Quantity::Growth).max_by(f64::total_cmp);
    verdicts.push(Verdict::new(
        "MB resident after all requests of the endurance run / after a tenth of them",
        growth,
        Limit::AtMost(1.05),
    ));
    let errors: f64 = each(results, Quantity::Errors).sum();
    verdicts.push(Verdict::new("answers other than 200", Some(errors), Limit::AtMost(0.0)));
    verdicts
}

fn server(payload: &'static str, clients: usize) -> Case {
    Case::Server { payload, clients }
}

/// Not for models that frame ink: they need every pixel.
fn decode_ratio(results: &Results, model: &str) -> Option<f64> {
    let of = |case| results.median(model, case, Quantity::P50);
    Some(of(Case::Decode { payload: LARGE })? / of(Case::DecodeInFull { payload: LARGE })?)
}

fn latency(results: &Results, model: &str, verdicts: &mut Vec<Verdict>) {
    let more = results.median(model, Case::Beside { payload: PHOTO }, Quantity::Added);
    let name = format!("{model}, {PHOTO}: ms that p50 at 1 client is above the pipeline's");
    verdicts.push(Verdict::new(name, more, Limit::AtMost(0.4)));
    let of = |quantity| results.median(model, server(PHOTO, 8), quantity);
    let tail = of(Quantity::P99).zip(of(Quantity::P50)).map(|(p99, p50)| p99 / p50);
    let name = format!("{model}, {PHOTO}: p99 / p50 at 8 clients");
    verdicts.push(Verdict::new(name, tail, Limit::AtMost(4.0)));
}

fn forward(results: &Results, model: &str, bf16: bool, verdicts: &mut Vec<Verdict>) {
    let rate = |kernel, batch| {
        results.median(model, Case::Forward { kernel, batch }, Quantity::ImagesPerSecond)
    };
    let worst = |share: &dyn Fn(usize) -> Option<f64>| {
        let shares = BATCHES.iter().filter(|&&batch| (8..=64).contains(&batch));
        shares.filter_map(|&batch| share(batch)).min_by(f64::total_cmp)
    };
    let of_best = worst(&|batch| {
        let served = rate(SERVED_F32, batch)?;
        Some(served / rate(CHANNELS_LAST, batch)?.max(rate(PACKED, batch)?))
    });
    let name = format!(
        "{model}: f32 forward / the better of eager channels-last and packed and fused, least of \
         batch 8–64"
    );
    verdicts.push(Verdict::new(name, of_best, Limit::AtLeast(0.85)));
    let fall = rate(SERVED_F32, 128).zip(rate(SERVED_F32, 64)).map(|(large, small)| large / small);
    let name = format!("{model}: f32 forward, images/s at batch 128 / at batch 64");
    verdicts.push(Verdict::new(name, fall, Limit::AtLeast(0.9)));
    if bf16 {
        let gain = worst(&|batch| Some(rate(SERVED_BF16, batch)? / rate(EAGER, batch)?));
        let name = format!("{model}: bf16 forward / eager NCHW f32, least of batch 8–64");
        verdicts.push(Verdict::new(name, gain, Limit::AtLeast(3.0)));
    }
}

fn each(results: &Results, quantity: Quantity) -> impl Iterator<Item = f64> {
    results.iter().filter_map(move |(_, row)| Some(row.get(&quantity)?.max))
}

fn resident(results: &Results) -> Option<f64> {
    each(results, Quantity::Resident).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::super::results::Key;
    use super::*;

    #[test]
    fn what_was_not_measured_neither_passes_nor_falls_short() {
        let verdicts = verdicts(&Results::default(), &[], false);
        assert_eq!(verdicts[0].word(), "not measured");
    }

    #[test]
    fn ratios_are_held_against_their_limits() {
        let mut results = Results::default();
        let key = Key { model: SMALL.to_owned(), case: CPU_RATIO };
        for ratio in [1.1, 1.2, 1.3] {
            results.add(&key, &[(Quantity::Ratio, ratio)]);
        }
        let verdict = &verdicts(&results, &[], false)[0];
        assert_eq!(verdict.word(), "falls short", "{verdict:?}");
    }
}
