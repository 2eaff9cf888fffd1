//! The service beside something else, by turns, so that a slow spell of the machine hits both alike.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::ceiling::Ceiling;
use super::payload::Payload;
use super::results::{Quantity, percentile};
use super::server::Server;

/// Pictures before those that count: the other side has had the caches.
const UNCOUNTED: usize = 2;

/// How often both sides are measured for a ratio.
const TURNS: usize = 5;

/// What a measurement has found.
type Values = anyhow::Result<Vec<(Quantity, f64)>>;

/// The median of `ours` / `theirs` over the turns.
pub fn ratio(quantity: Quantity, ours: impl Fn() -> Values, theirs: impl Fn() -> Values) -> Values {
    let of = |values: Vec<(Quantity, f64)>| {
        let found = values.into_iter().find(|(found, _)| *found == quantity);
        found.map(|(_, value)| value).context("the quantity was not measured")
    };
    let turn = |_| Ok(of(ours()?)? / of(theirs()?)?);
    let mut ratios = (0..TURNS).map(turn).collect::<anyhow::Result<Vec<f64>>>()?;
    ratios.sort_by(f64::total_cmp);
    Ok(vec![(Quantity::Ratio, percentile(&ratios, 0.5))])
}

/// Milliseconds that the service takes more than this process, one picture after the other, a few
/// pictures each turn.
pub fn added(
    ceiling: &Ceiling,
    server: &Server,
    (model, payload): (&str, &Payload),
    duration: Duration,
) -> Values {
    let mut connection = server.connect()?;
    let target = format!("/classify?model={model}");
    let (started, mut differences) = (Instant::now(), Vec::new());
    while differences.is_empty() || started.elapsed() < duration {
        let own = median(payload, |file| ceiling.one(file))?;
        let served = median(payload, |file| match connection.post(&target, file)? {
            200 => Ok(()),
            status => bail!("{target} answered {status}"),
        })?;
        differences.push(served - own);
    }
    differences.sort_by(f64::total_cmp);
    Ok(vec![(Quantity::Added, percentile(&differences, 0.5))])
}

/// Milliseconds of `work` on a file.
fn median(
    payload: &Payload,
    mut work: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for file in payload.files.iter().cycle().take(payload.files.len() + UNCOUNTED) {
        let begun = Instant::now();
        work(file)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    ensure!(times.len() > UNCOUNTED, "no files");
    let counted = &mut times[UNCOUNTED..];
    counted.sort_by(f64::total_cmp);
    Ok(percentile(counted, 0.5))
}
