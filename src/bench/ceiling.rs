//! What the machine allows, measured in this process: no HTTP, no queue.

use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::payload::Payload;
use super::results::{Quantity, percentile};
use super::usage::Usage;
use crate::model::network::Layout;
use crate::model::trial::{Trial, multiplication_rate};
use crate::model::{Classifier, ModelFolder, Pixels, Precision, Sample, Team};
use crate::preprocess::{Header, InputSpec, PictureError, Prepared, prepare};
use crate::threads::Threads;
use crate::warm_up::BatchSizes;

/// Batch sizes of the forward pass.
pub const BATCHES: [usize; 5] = [1, 8, 32, 64, 128];
/// Pictures that the batched pipeline decodes and runs at once: the server's largest batch.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(32).expect("not zero");
/// Any payload of ours is smaller.
const MAX_PIXELS: u64 = 50_000_000;

/// How a picture is decoded and resized.
pub type Prepare = fn(&[u8], &Header, &InputSpec) -> Result<Prepared, PictureError>;

pub const EAGER: &str = "f32 eager NCHW";
pub const CHANNELS_LAST: &str = "f32 eager channels-last";
pub const PACKED: &str = "f32 packed and fused";
pub const SERVED_F32: &str = "f32 as served";
pub const SERVED_BF16: &str = "bf16 as served";

/// Arithmetic and memory order by their names.
const KERNELS: [(&str, Precision, Layout); 5] = [
    (EAGER, Precision::F32, Layout::Planar),
    (CHANNELS_LAST, Precision::F32, Layout::ChannelsLast),
    (PACKED, Precision::F32, Layout::Fused),
    (SERVED_F32, Precision::F32, Layout::Served),
    (SERVED_BF16, Precision::Bf16, Layout::Served),
];

/// Those that this processor can run.
pub fn kernels() -> impl Iterator<Item = (&'static str, Precision, Layout)> {
    KERNELS.into_iter().filter(|(_, precision, _)| precision.is_native())
}

/// One model, ready to be measured.
pub struct Ceiling {
    spec: InputSpec,
    /// In a forward pass, as the definition of convolution has it.
    multiplications: u64,
    classifier: Classifier,
    sizes: BatchSizes,
    trials: Vec<(&'static str, Trial)>,
    threads: Threads,
}

impl Ceiling {
    /// `precision` is that of the whole pipeline: the server's.
    pub fn new(
        folder: &ModelFolder,
        precision: Precision,
        threads: Threads,
    ) -> anyhow::Result<Self> {
        let trial = |(name, precision, layout)| Ok((name, Trial::new(folder, precision, layout)?));
        let trials: Vec<_> = kernels().map(trial).collect::<anyhow::Result<_>>()?;
        let spec = folder.manifest.input.clone();
        let channels = spec.channels.count() as u32;
        let multiplications =
            folder.architecture.multiplications(channels, spec.width, spec.height)?;
        let classifier = Classifier::new(folder, precision)?;
        let run = |size, team: Team, times| {
            team.assemble(threads.inference);
            classifier.time_golden(folder, size, times)
        };
        let sizes = BatchSizes::warm_up(classifier.runs(), AT_ONCE, run)?;
        Team::All.assemble(threads.inference);
        Ok(Self { spec, multiplications, classifier, sizes, trials, threads })
    }

    pub fn multiplications(&self) -> u64 {
        self.multiplications
    }

    /// See [`super::results::Case::Roof`].
    pub fn roof(&self, duration: Duration) -> anyhow::Result<Vec<(Quantity, f64)>> {
        let rate = multiplication_rate(duration)?;
        Ok(vec![(Quantity::ImagesPerSecond, rate / self.multiplications as f64)])
    }

    /// Images a second of every kernel at every batch size, by turns of one batch each.
    pub fn forwards(&self, duration: Duration) -> anyhow::Result<Vec<(&'static str, usize, f64)>> {
        let cases = || {
            let of = |(name, trial)| BATCHES.iter().map(move |&size| (name, trial, size));
            self.trials.iter().flat_map(move |(name, trial)| of((*name, trial)))
        };
        let mut times = vec![Vec::new(); cases().count()];
        // The first turn makes libtorch's kernels.
        let (mut started, mut turns) = (Instant::now(), 0);
        while turns < 2 || started.elapsed() < duration {
            for ((_, trial, size), times) in cases().zip(&mut times) {
                let batch = trial.batch(size)?;
                let begun = Instant::now();
                trial.run(&batch)?;
                times.push(begun.elapsed().as_secs_f64());
            }
            turns += 1;
            if turns == 1 {
                times.iter_mut().for_each(Vec::clear);
                started = Instant::now();
            }
        }
        let rate = |((name, _, size), mut times): ((_, _, usize), Vec<f64>)| {
            times.sort_by(f64::total_cmp);
            (name, size, size as f64 / percentile(&times, 0.5))
        };
        Ok(cases().zip(times).map(rate).collect())
    }

    /// Bytes to pixels on one thread, by `prepare` or `prepare_in_full`.
    pub fn decode(
        &self,
        prepare: Prepare,
        payload: &Payload,
        duration: Duration,
    ) -> anyhow::Result<Vec<(Quantity, f64)>> {
        let mut files = payload.files.iter().cycle();
        measure(1, duration, || {
            pixels(files.next().context("no files")?, &self.spec, prepare)?;
            Ok(())
        })
    }

    /// Bytes to probabilities: one thread decodes, then all run the network.
    pub fn single(
        &self,
        payload: &Payload,
        duration: Duration,
    ) -> anyhow::Result<Vec<(Quantity, f64)>> {
        let mut files = payload.files.iter().cycle();
        let mut one = || self.one(files.next().context("no files")?);
        one()?;
        measure(1, duration, one)
    }

    pub fn one(&self, file: &[u8]) -> anyhow::Result<()> {
        self.infer(&[pixels(file, &self.spec, prepare)?])
    }

    /// As the service runs a batch.
    fn infer(&self, batch: &[Sample]) -> anyhow::Result<()> {
        for part in self.sizes.split(batch) {
            part.team.assemble(self.threads.inference);
            self.classifier.infer_as(part.size, part.items)?;
        }
        Team::All.assemble(self.threads.inference);
        Ok(())
    }

    /// Bytes to probabilities: all threads decode a batch, then all run it.
    pub fn batched(
        &self,
        payload: &Payload,
        duration: Duration,
    ) -> anyhow::Result<Vec<(Quantity, f64)>> {
        // A dozen large photographs at once are as good as a full batch and fit in the time.
        let size = if payload.files[0].len() > 1 << 20 { 8 } else { AT_ONCE.get() };
        let files: Vec<_> = payload.files.iter().cycle().take(size).collect();
        let batch = || {
            self.infer(&self.decoded(&files)?)?;
            Ok(())
        };
        batch()?;
        measure(size, duration, batch)
    }

    /// By threads that end when they are done, so that none waits awake for more.
    fn decoded(&self, files: &[&Vec<u8>]) -> anyhow::Result<Vec<Sample>> {
        // Not all of `self`: a network belongs to one thread.
        let spec = &self.spec;
        let decode = |files: &[&Vec<u8>]| -> anyhow::Result<Vec<_>> {
            files.iter().map(|file| pixels(file, spec, prepare)).collect()
        };
        thread::scope(|scope| {
            let shares = files.chunks(files.len().div_ceil(self.threads.decode.get()));
            let threads: Vec<_> = shares.map(|share| scope.spawn(move || decode(share))).collect();
            let mut samples = Vec::with_capacity(files.len());
            for thread in threads {
                samples.extend(thread.join().map_err(|_| anyhow!("a decoder panicked"))??);
            }
            Ok(samples)
        })
    }
}

fn pixels(file: &[u8], spec: &InputSpec, prepare: Prepare) -> anyhow::Result<Sample> {
    let header = Header::read(file, MAX_PIXELS).map_err(|error| anyhow!("{error}"))?;
    let prepared = prepare(file, &header, spec).map_err(|error| anyhow!("{error}"))?;
    Ok(Sample { pixels: Pixels::Bytes(prepared.pixels), maps: false })
}

/// Repeats `work` on `size` pictures for about `duration`, once at least: a batch of 128 large
/// pictures takes seconds.
fn measure(
    size: usize,
    duration: Duration,
    mut work: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(Quantity, f64)>> {
    let (usage, started) = (Usage::own()?, Instant::now());
    let mut times = Vec::new();
    while times.is_empty() || started.elapsed() < duration {
        let begun = Instant::now();
        work()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let pictures = (times.len() * size) as f64;
    let cpu = Usage::own()?.cpu_seconds - usage.cpu_seconds;
    let seconds = started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let mut values = vec![
        (Quantity::ImagesPerSecond, pictures / seconds),
        (Quantity::Cpu, 1e3 * cpu / pictures),
    ];
    if size == 1 {
        values.push((Quantity::P50, percentile(&times, 0.5)));
        values.push((Quantity::P99, percentile(&times, 0.99)));
    }
    Ok(values)
}
