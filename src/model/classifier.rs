//! A network with its input contract: prepared pixels in, scores out.

use super::architecture::{Head, MapGrid};
use super::folder::{FolderError, ModelFolder};
use super::golden::{self, GoldenMismatch};
use super::network::{Layout, Network, Precision};
use super::normaliser::Normaliser;
use super::weights::Weights;
use crate::preprocess::InputSpec;
use std::iter::repeat_n;
use std::time::{Duration, Instant};
use tch::{TchError, Tensor};

/// One picture for the network.
#[derive(Debug, Clone)]
pub struct Sample {
    pub pixels: Pixels,
    /// Whether the class confidence maps are wanted beside the scores.
    pub maps: bool,
}

/// Pixels in one of the two forms that a client may send.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// `[H, W, C]`, 0 to 255, in the network's channel order; the network normalises them.
    Bytes(Vec<u8>),
    /// `[C, H, W]`, already normalised.
    Floats(Vec<f32>),
}

/// What the network says of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// One per class; see [`super::scores::Scores::logits`].
    pub logits: Vec<f32>,
    /// One per class, sum 1.
    pub probabilities: Vec<f32>,
    pub maps: Option<ClassMaps>,
}

/// Class confidence maps of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMaps {
    pub width: usize,
    pub height: usize,
    /// `[K, height, width]`, row-major.
    pub values: Vec<f32>,
    /// `[K]`: what a cell puts out that sees black alone, where positions vote. A vote for some
    /// class costs nothing there, so it is no evidence.
    pub ground: Option<Vec<f32>>,
    /// Where the cells lie over the network's input.
    pub grid: MapGrid,
}

#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
    #[error("{0}")]
    Folder(#[from] FolderError),
    #[error("{0}")]
    Golden(#[from] GoldenMismatch),
    #[error("a sample has {found} values, the network takes {expected}")]
    SampleSize { found: usize, expected: usize },
    #[error("the network put out values that are not finite")]
    NotFinite,
}

/// Which sizes of batches a network runs as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Those for which it has been warmed up.
    Prepared,
    All,
}

/// Batch by which the faster arithmetic is found, and how often it runs in each.
const TRIAL_BATCH: usize = 8;
const TRIALS: usize = 6;

/// Owned by one thread, which builds it, warms it up and runs it.
#[derive(Debug)]
pub struct Classifier {
    network: Network,
    input: InputSpec,
    normaliser: Normaliser,
    grid: MapGrid,
    /// What a batch is filled up with.
    black: Pixels,
    /// See [`ClassMaps::ground`].
    ground: Option<Vec<f32>>,
}

impl Classifier {
    /// Builds the network of a checked folder.
    pub fn new(folder: &ModelFolder, precision: Precision) -> Result<Self, ClassifierError> {
        Self::with_weights(folder, &folder.tensors()?, precision)
    }

    fn with_weights(
        folder: &ModelFolder,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self, ClassifierError> {
        let size = folder.manifest.input.size();
        let network = Network::new(&folder.architecture, weights, size, precision)?;
        Self::with_network(folder, network)
    }

    /// As [`Classifier::new`], computed in f32 as the definitions have it: what all that is done
    /// for speed is measured by.
    pub fn plain(folder: &ModelFolder) -> Result<Self, ClassifierError> {
        let (size, kind) = (folder.manifest.input.size(), (Precision::F32, Layout::Planar));
        let network = Network::laid_out(&folder.architecture, &folder.tensors()?, size, kind)?;
        Self::with_network(folder, network)
    }

    fn with_network(folder: &ModelFolder, network: Network) -> Result<Self, ClassifierError> {
        let input = folder.manifest.input.clone();
        let normaliser = Normaliser::new(&input);
        let grid = folder.architecture.map_grid();
        let black = Pixels::Bytes(vec![0; input.bytes()]);
        let mut classifier = Self { network, input, normaliser, grid, black, ground: None };
        if folder.architecture.head == Head::SoftmaxThenPool {
            classifier.ground = Some(classifier.votes_for_black()?);
        }
        Ok(classifier)
    }

    /// The middle cell of each class's map of a black picture, `[K]`.
    fn votes_for_black(&self) -> Result<Vec<f32>, ClassifierError> {
        let maps = self.network.forward(&self.batch(1, &[])?)?.maps;
        let ClassMaps { width, height, values, .. } = self.maps_of(&maps, 0)?;
        let middle = height / 2 * width + width / 2;
        Ok(values.chunks(width * height).map(|map| map[middle]).collect())
    }

    /// The network in bf16 where the processor has it, the golden check holds in it, and it is
    /// faster; else in f32.
    pub fn fastest(folder: &ModelFolder) -> Result<Self, ClassifierError> {
        let weights = folder.tensors()?;
        let plain = Self::with_weights(folder, &weights, Precision::F32)?;
        if Precision::fastest() == Precision::F32 {
            return Ok(plain);
        }
        let short = Self::with_weights(folder, &weights, Precision::Bf16)?;
        drop(weights);
        // The first run of each also warms it up.
        if short.check_golden(folder, TRIAL_BATCH).is_err() {
            return Ok(plain);
        }
        plain.check_golden(folder, TRIAL_BATCH)?;
        // By turns, so that what else the machine does meanwhile delays both.
        let [mut short_took, mut plain_took] = [Duration::MAX; 2];
        for _ in 0..TRIALS {
            short_took = short_took.min(short.time_golden(folder, TRIAL_BATCH, 1)?);
            plain_took = plain_took.min(plain.time_golden(folder, TRIAL_BATCH, 1)?);
        }
        Ok(if short_took < plain_took { short } else { plain })
    }

    /// The least time that [`Classifier::check_golden`] takes, of so many `times`.
    pub fn time_golden(
        &self,
        folder: &ModelFolder,
        size: usize,
        times: usize,
    ) -> Result<Duration, ClassifierError> {
        let mut least = Duration::MAX;
        for _ in 0..times {
            let started = Instant::now();
            self.check_golden(folder, size)?;
            least = least.min(started.elapsed());
        }
        Ok(least)
    }

    pub fn precision(&self) -> Precision {
        self.network.precision()
    }

    /// See [`Network::run_beside`].
    pub fn run_beside(&self, work: impl FnOnce() + Send) {
        self.network.run_beside(work);
    }

    /// Which sizes of batches it runs as they are: all, if there are no kernels to be made for each.
    pub fn runs(&self) -> Runs {
        if self.network.makes_kernels() { Runs::Prepared } else { Runs::All }
    }

    /// Runs the golden picture, `size` times in one batch, and checks what comes out. It also
    /// warms up: libtorch prepares its kernels at the first batch of each size.
    pub fn check_golden(&self, folder: &ModelFolder, size: usize) -> Result<(), ClassifierError> {
        let golden = &folder.manifest.golden;
        let picture = Sample { pixels: Pixels::Bytes(golden::picture(&self.input)), maps: false };
        let tolerance = match self.network.precision() {
            Precision::F32 => golden.tolerance,
            Precision::Bf16 => golden.tolerance.max(golden::BF16_TOLERANCE),
        };
        for prediction in self.infer(&vec![picture; size])? {
            golden.check(&prediction.probabilities, tolerance)?;
        }
        Ok(())
    }

    /// Runs one batch. Every number in the answer is finite.
    pub fn infer(&self, samples: &[Sample]) -> Result<Vec<Prediction>, ClassifierError> {
        self.infer_as(samples.len(), samples)
    }

    /// As [`Classifier::infer`], as a batch of `size`: it is filled up with black pictures, of which
    /// nothing is told.
    pub fn infer_as(
        &self,
        size: usize,
        samples: &[Sample],
    ) -> Result<Vec<Prediction>, ClassifierError> {
        let scores = self.network.forward(&self.batch(size, samples)?)?;
        // At least one picture came out, or there was an error.
        let classes = scores.logits.len() / size.max(samples.len());
        if scores.logits[..samples.len() * classes].iter().any(|logit| !logit.is_finite()) {
            return Err(ClassifierError::NotFinite);
        }
        let rows = scores.logits.chunks(classes).zip(scores.probabilities.chunks(classes));
        let predictions = rows.zip(samples).enumerate();
        predictions
            .map(|(index, ((logits, probabilities), sample))| {
                let maps =
                    if sample.maps { Some(self.maps_of(&scores.maps, index)?) } else { None };
                let (logits, probabilities) = (logits.to_vec(), probabilities.to_vec());
                Ok(Prediction { logits, probabilities, maps })
            })
            .collect()
    }

    /// The maps of one picture out of those of a batch, `[N, K, h, w]`.
    fn maps_of(&self, maps: &Tensor, index: usize) -> Result<ClassMaps, TchError> {
        let map = maps.f_get(index as i64)?.f_contiguous()?;
        let (_, height, width) = map.size3()?;
        let mut values = vec![0f32; map.numel()];
        map.f_copy_data(&mut values, map.numel())?;
        let (width, height) = (width as usize, height as usize);
        Ok(ClassMaps { width, height, values, ground: self.ground.clone(), grid: self.grid })
    }

    /// The samples and, up to `size`, black as one normalised tensor `[N, C, H, W]` in channels-last
    /// memory order.
    fn batch(&self, size: usize, samples: &[Sample]) -> Result<Tensor, ClassifierError> {
        let filling = repeat_n(&self.black, size.saturating_sub(samples.len()));
        let pictures = samples.iter().map(|sample| &sample.pixels).chain(filling);
        self.normaliser.tensor(&pictures.collect::<Vec<_>>())
    }
}
