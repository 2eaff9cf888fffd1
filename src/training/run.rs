//! The training loop: epochs, steps, checkpoints.

use super::augment::Size;
use super::batches::{Batch, Source, size_of};
use super::checkpoint::{self, EpochRecord, Position, Sums};
use super::net::{Mode, TrainableNet};
use super::pictures::Pictures;
use super::recipe::{MOMENTUM, Recipe};
use super::report::Report;
use super::sgd::{Settings, Sgd};
use super::whiten::whiten;
use crate::model::weights::Weights;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// What a run works on.
#[derive(Debug)]
pub struct Data {
    /// As stored, before augmentation crops them.
    pub train: Pictures,
    /// At the model's input size.
    pub held_out: Pictures,
}

/// A network in training.
#[derive(Debug)]
pub struct Run<'a> {
    net: TrainableNet,
    sgd: Sgd,
    position: Position,
    data: &'a Data,
    /// Mean and standard deviation per channel, `[C]`, in units of `pixel / 255`.
    statistics: (Tensor, Tensor),
    folder: PathBuf,
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// Asked to stop; the checkpoint holds everything.
    Interrupted,
}

const CHECKPOINT: &str = "checkpoint.safetensors";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(120);
const HELD_OUT_BATCH: usize = 200;
/// How many held-out pictures an epoch's line is measured on, about: enough for a curve, and a
/// small part of an epoch. The finished model is measured on all.
const HELD_OUT_SAMPLE: usize = 1000;
const WHITENING_SAMPLE: usize = 1000;
/// Enough to measure batch normalisation on, small enough to keep a layer's output in memory.
const NORM_SAMPLE: usize = 500;

impl<'a> Run<'a> {
    /// A fresh run, which keeps its checkpoint and its metrics in `folder`.
    pub fn new(
        net: TrainableNet,
        recipe: Recipe,
        data: &'a Data,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let settings = Settings {
            momentum: MOMENTUM,
            weight_decay: recipe.weight_decay,
            averaging: recipe.averaging,
        };
        let sgd = Sgd::new(&net.parameters(), settings)?;
        let (mean, std) = data.train.channel_statistics();
        let statistics = (Tensor::f_from_slice(&mean)?, Tensor::f_from_slice(&std)?);
        let sums = Sums::default();
        let position = Position { recipe, epoch: 0, step: 0, sums, history: Vec::new() };
        let mut run = Self { net, sgd, position, data, statistics, folder: folder.to_owned() };
        if run.position.recipe.whiten {
            whiten(&run.net, &run.sample(WHITENING_SAMPLE)?)?;
            run.sgd.start_average(&run.net.parameters())?;
        }
        Ok(run)
    }

    /// Starts from the weights of a network that has learnt before.
    pub fn start_from(&mut self, weights: &Weights) -> anyhow::Result<()> {
        self.net.start_from(weights, &self.sample(NORM_SAMPLE)?)?;
        Ok(self.sgd.start_average(&self.net.parameters())?)
    }

    /// About `count` training pictures, normalised.
    fn sample(&self, count: usize) -> anyhow::Result<Tensor> {
        let pictures = &self.data.train;
        let indices = (0..pictures.len()).step_by(pictures.len().div_ceil(count));
        let pixels: Vec<u8> = indices.flat_map(|i| pictures.get(i)).copied().collect();
        self.input(&pixels, size_of(pictures))
    }

    /// Continues from the checkpoint, which must be of the same recipe. False if there is none yet:
    /// the run begins at its beginning.
    pub fn resume(&mut self) -> anyhow::Result<bool> {
        let path = self.folder.join(CHECKPOINT);
        if !path.try_exists()? {
            return Ok(false);
        }
        let (position, path) = (checkpoint::load(&path, &self.net, &self.sgd), path.display());
        let position = position.map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
        anyhow::ensure!(
            position.recipe == self.position.recipe,
            "{path}: made by other settings. Give the same settings, or leave out --resume."
        );
        self.position = position;
        Ok(true)
    }

    /// Trains to the end, or until `stop` is set.
    pub fn train(&mut self, stop: &AtomicBool, report: &Report) -> anyhow::Result<Outcome> {
        while self.position.epoch < self.position.recipe.epochs {
            if self.epoch(stop, report)? == Outcome::Interrupted {
                return Ok(Outcome::Interrupted);
            }
        }
        self.sgd.take_average(&self.net.parameters())?;
        self.net.measure_norms(&self.sample(NORM_SAMPLE)?)?;
        Ok(Outcome::Finished)
    }

    pub fn net(&self) -> &TrainableNet {
        &self.net
    }

    pub fn history(&self) -> &[EpochRecord] {
        &self.position.history
    }

    fn epoch(&mut self, stop: &AtomicBool, report: &Report) -> anyhow::Result<Outcome> {
        let recipe = self.position.recipe.clone();
        let data = self.data;
        let source = Source {
            pictures: &data.train,
            augment: recipe.augment,
            batch_size: recipe.batch_size,
            seed: recipe.seed,
        };
        let epoch = self.position.epoch;
        let stored = size_of(&data.train);
        let side = recipe.side(epoch) as usize;
        let size = Size { width: side, height: side, channels: stored.channels };
        let steps = source.steps();
        report.start_epoch(epoch, steps as u64, self.position.step as u64);
        let (started, before) = (Instant::now(), self.position.sums.pictures);
        let mut saved = Instant::now();
        source
            .for_each(epoch, self.position.step..steps, size, |batch| {
                if stop.load(Ordering::Relaxed) {
                    return Err(StepError::Interrupted);
                }
                self.step(&batch, size, (epoch * steps + self.position.step) as u64)?;
                report.step(&self.position.sums);
                if saved.elapsed() > CHECKPOINT_INTERVAL {
                    self.save()?;
                    saved = Instant::now();
                }
                Ok(())
            })
            .or_else(|error| match error {
                StepError::Interrupted => Ok(()),
                StepError::Failed(error) => Err(error),
            })?;
        if self.position.step < steps {
            self.save()?;
            return Ok(Outcome::Interrupted);
        }
        let trained = self.position.sums.pictures - before;
        self.finish_epoch(trained as f64 / started.elapsed().as_secs_f64(), report)?;
        Ok(Outcome::Finished)
    }

    fn step(&mut self, batch: &Batch, size: Size, global_step: u64) -> anyhow::Result<()> {
        let recipe = &self.position.recipe;
        // Dropout draws from libtorch's generator; a resumed run must draw the same.
        tch::manual_seed((recipe.seed ^ global_step << 20) as i64);
        let steps = recipe.epochs * self.data.train.len().div_ceil(recipe.batch_size);
        let rate = recipe.schedule().rate(global_step as f64 / steps as f64);
        let classes = Tensor::f_from_slice(&batch.classes)?;
        let maps = self.net.forward(&self.input(&batch.pixels, size)?, Mode::Train)?;
        let log = self.net.log_scores(&maps)?;
        let loss = smoothed_loss(&log, &classes, recipe.label_smoothing)?;
        let value = loss.f_double_value(&[])?;
        anyhow::ensure!(
            value.is_finite(),
            "the loss is no longer finite in epoch {}. Lower --peak-rate (now {}), or use \
             batch normalisation; the last checkpoint is from before this step.",
            self.position.epoch + 1,
            recipe.peak_rate
        );
        loss.f_backward()?;
        self.sgd.step(&self.net.parameters(), rate)?;
        let sums = &mut self.position.sums;
        sums.loss += value * batch.classes.len() as f64;
        sums.correct += count_correct(&log, &classes)?;
        sums.pictures += batch.classes.len() as u64;
        self.position.step += 1;
        Ok(())
    }

    fn finish_epoch(&mut self, speed: f64, report: &Report) -> anyhow::Result<()> {
        let held_out = self.measure()?;
        let position = &mut self.position;
        let share = |sums: &Sums| sums.correct as f64 / sums.pictures.max(1) as f64;
        let loss = |sums: &Sums| sums.loss / sums.pictures.max(1) as f64;
        let progress = (position.epoch + 1) as f64 / position.recipe.epochs as f64;
        let record = EpochRecord {
            epoch: position.epoch + 1,
            learning_rate: position.recipe.schedule().rate(progress),
            train_loss: loss(&position.sums),
            train_accuracy: share(&position.sums),
            held_out_loss: loss(&held_out),
            held_out_accuracy: share(&held_out),
            pictures_per_second: speed,
        };
        report.finish_epoch(&record);
        position.history.push(record);
        position.epoch += 1;
        position.step = 0;
        position.sums = Sums::default();
        self.save()?;
        let lines = self.position.history.iter().map(serde_json::to_string);
        let lines = lines.collect::<Result<Vec<_>, _>>()?.join("\n") + "\n";
        checkpoint::write_atomically(&self.folder.join(METRICS), lines.as_bytes())?;
        Ok(())
    }

    /// Loss and accuracy on a fixed sample of the held-out pictures, of all classes evenly.
    fn measure(&self) -> anyhow::Result<Sums> {
        let _guard = tch::no_grad_guard();
        let pictures = &self.data.held_out;
        let size = size_of(pictures);
        let mut sums = Sums::default();
        let stride = pictures.len().div_ceil(HELD_OUT_SAMPLE);
        let indices: Vec<usize> = (0..pictures.len()).step_by(stride).collect();
        for chunk in indices.chunks(HELD_OUT_BATCH) {
            let pixels: Vec<u8> = chunk.iter().flat_map(|&i| pictures.get(i)).copied().collect();
            let classes: Vec<i64> = chunk.iter().map(|&i| pictures.classes[i] as i64).collect();
            let classes = Tensor::f_from_slice(&classes)?;
            let maps = self.net.forward(&self.input(&pixels, size)?, Mode::Infer)?;
            let log = self.net.log_scores(&maps)?;
            sums.loss +=
                smoothed_loss(&log, &classes, 0.0)?.f_double_value(&[])? * chunk.len() as f64;
            sums.correct += count_correct(&log, &classes)?;
            sums.pictures += chunk.len() as u64;
        }
        Ok(sums)
    }

    /// Normalised input `[N, C, H, W]`, channels-last, of pixels `[N, H, W, C]`.
    fn input(&self, pixels: &[u8], size: Size) -> anyhow::Result<Tensor> {
        let sides = [size.height, size.width, size.channels].map(|side| side as i64);
        let shape = [(pixels.len() / size.bytes()) as i64, sides[0], sides[1], sides[2]];
        let pixels = Tensor::f_from_data_size(pixels, &shape, Kind::Uint8)?;
        let values = pixels.f_to_kind(Kind::Float)?.f_mul_scalar_(1.0 / 255.0)?;
        let (mean, std) = &self.statistics;
        Ok(values.f_sub(mean)?.f_div(std)?.f_permute([0, 3, 1, 2])?)
    }

    fn save(&self) -> anyhow::Result<()> {
        checkpoint::save(&self.folder.join(CHECKPOINT), &self.net, &self.sgd, &self.position)
    }
}

/// Why the batches of an epoch were not all used.
enum StepError {
    Interrupted,
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for StepError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Mean cross-entropy with label smoothing (Szegedy et al. 2016), of `[N, K]` and `[N]`.
fn smoothed_loss(log: &Tensor, classes: &Tensor, smoothing: f64) -> anyhow::Result<Tensor> {
    let right = log.f_gather(1, &classes.f_unsqueeze(1)?, false)?.f_mean(Kind::Float)?.f_neg()?;
    if smoothing == 0.0 {
        return Ok(right);
    }
    let uniform = log.f_mean(Kind::Float)?.f_neg()?;
    Ok(right.f_mul_scalar(1.0 - smoothing)?.f_add(&uniform.f_mul_scalar(smoothing)?)?)
}

fn count_correct(log: &Tensor, classes: &Tensor) -> anyhow::Result<u64> {
    let best = log.f_argmax(1, false)?;
    Ok(best.f_eq_tensor(classes)?.f_sum(Kind::Int64)?.f_int64_value(&[])? as u64)
}
