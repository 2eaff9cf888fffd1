//! A service with engines that answer as told, and pictures made of code.

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use nin_serve::batching::{Batch, BatchConfig, Batcher, Engine, EngineFailure};
use nin_serve::engine::Health;
use nin_serve::model::architecture::MapGrid;
use nin_serve::model::manifest::Accuracy;
use nin_serve::model::{ClassMaps, Pixels, Precision, Prediction, Sample};
use nin_serve::preprocess::{ChannelOrder, Channels, Filter, Framing, InputSpec, Polarity, Resize};
use nin_serve::service::{ModelInfo, ModelSet, ServedModel, Service, ServiceConfig, Statistics};
use tokio::sync::{Semaphore, watch};

pub const LABELS: [&str; 4] = ["black", "dark", "light", "white"];

/// How the engine meets its next batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// Tells the brightness of each picture.
    #[default]
    Answer,
    Fail,
    /// Gives probabilities that are not numbers.
    NotFinite,
    /// Waits for [`FakeEngine::let_go`] before it answers.
    Hold,
}

pub struct FakeEngine {
    mood: Mutex<Mood>,
    gate: Semaphore,
    samples: AtomicUsize,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self { mood: Mutex::default(), gate: Semaphore::new(0), samples: AtomicUsize::new(0) }
    }
}

impl FakeEngine {
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().expect("not poisoned") = mood;
    }

    /// Lets one held batch, now or later, go on.
    pub fn let_go(&self) {
        self.gate.add_permits(1);
    }

    /// How many samples have been run.
    pub fn samples(&self) -> usize {
        self.samples.load(Ordering::SeqCst)
    }
}

impl Engine for FakeEngine {
    type Input = Sample;
    type Output = Prediction;

    async fn run(&self, batch: Batch<Sample>) -> Result<Vec<Prediction>, EngineFailure> {
        self.samples.fetch_add(batch.len(), Ordering::SeqCst);
        let mood = *self.mood.lock().expect("not poisoned");
        match mood {
            Mood::Fail => {
                return Err(EngineFailure { cause: "secret cause".to_owned() });
            }
            Mood::NotFinite => {
                let broken = vec![f32::NAN; LABELS.len()];
                return Ok(batch.iter().map(|_| prediction(broken.clone())).collect());
            }
            Mood::Hold => self.gate.acquire().await.expect("never closed").forget(),
            Mood::Answer => {}
        }
        Ok(batch.iter().map(by_brightness).collect())
    }
}

/// 0.7 for the label that fits the mean pixel, 0.1 for each of the others.
fn by_brightness(sample: &Sample) -> Prediction {
    let mean = match &sample.pixels {
        Pixels::Bytes(pixels) => {
            let sum: usize = pixels.iter().map(|&pixel| usize::from(pixel)).sum();
            sum / pixels.len()
        }
        // Taken as they are, from 0 to 1.
        Pixels::Floats(pixels) => {
            (255.0 * pixels.iter().sum::<f32>() / pixels.len() as f32) as usize
        }
    };
    let mut probabilities = vec![0.1; LABELS.len()];
    let best = mean / 64;
    probabilities[best] = 0.7;
    let maps = match &sample.pixels {
        Pixels::Bytes(pixels) if sample.maps => Some(quarters(best, pixels)),
        _ => None,
    };
    Prediction { maps, ..prediction(probabilities) }
}

/// Maps of four cells, in which the quarters of the input speak for the class `best` by their
/// brightness, and nothing for the others.
fn quarters(best: usize, pixels: &[u8]) -> ClassMaps {
    let (width, stride) = (8, 4);
    let mut values = vec![0.0; LABELS.len() * 4];
    for (cell, value) in values[best * 4..][..4].iter_mut().enumerate() {
        let (x, y) = (cell % 2 * stride + stride / 2, cell / 2 * stride + stride / 2);
        *value = f32::from(pixels[3 * (y * width + x)]) / 255.0;
    }
    let grid = MapGrid { offset: 2.0, stride: 4.0 };
    ClassMaps { width: 2, height: 2, values, ground: None, grid }
}

fn prediction(probabilities: Vec<f32>) -> Prediction {
    Prediction { logits: probabilities.clone(), probabilities, maps: None }
}

/// A model whose engine is a [`FakeEngine`].
pub struct FakeModel {
    pub served: ServedModel,
    pub engine: Arc<FakeEngine>,
    pub health: watch::Sender<Health>,
}

/// Must be called on a runtime.
pub fn fake_model(name: &str, queue_capacity: usize) -> FakeModel {
    let engine = Arc::new(FakeEngine::default());
    let config = BatchConfig {
        max_batch: count(4),
        max_delay: Duration::ZERO,
        queue_capacity: count(queue_capacity),
    };
    let statistics = Arc::<Statistics>::default();
    let observer = Arc::new(((), Arc::clone(&statistics)));
    let batcher = Batcher::spawn(Arc::clone(&engine), config, observer);
    let (health, seen) = watch::channel(Health::Ready);
    let info = ModelInfo {
        name: name.to_owned(),
        description: "Tells light from dark.".to_owned(),
        labels: LABELS.map(str::to_owned).to_vec(),
        input: input(),
        parameters: 42,
        accuracy: Some(Accuracy {
            data: "grey cards".to_owned(),
            pictures: 4,
            top1: 1.0,
            top5: 1.0,
        }),
        weights_sha256: "00".repeat(32),
        precision: Precision::F32,
    };
    FakeModel { served: ServedModel { info, batcher, health: seen, statistics }, engine, health }
}

fn input() -> InputSpec {
    InputSpec {
        width: 8,
        height: 8,
        channels: Channels::Colour,
        order: ChannelOrder::Rgb,
        resize: Resize::Squash,
        filter: Filter::Bilinear,
        background: [255; 3],
        polarity: Polarity::Keep,
        framing: Framing::Whole,
        scale: 1.0 / 255.0,
        mean: vec![0.5; 3],
        std: vec![0.25; 3],
    }
}

pub fn service_config() -> ServiceConfig {
    ServiceConfig {
        request_timeout: Duration::from_secs(10),
        max_pixels: 1_000_000,
        memory_budget: 64 << 20,
        decode_threads: count(2),
        decode_queue: count(64),
    }
}

pub fn service(config: ServiceConfig, models: Vec<ServedModel>) -> Arc<Service> {
    let models = ModelSet::new(models, None).expect("a legal set");
    Arc::new(Service::new(config, models).expect("the threads start"))
}

pub fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("above zero")
}

/// A grey picture, 16 × 12 pixels.
pub fn grey(level: u8) -> DynamicImage {
    RgbImage::from_pixel(16, 12, Rgb([level; 3])).into()
}

pub fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("it can be encoded");
    file.into_inner()
}

pub fn png(level: u8) -> Vec<u8> {
    encoded(&grey(level), ImageFormat::Png)
}
