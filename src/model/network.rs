//! The forward pass of a served network: convolutions, ReLU and pooling in inference mode.

use super::architecture::{Architecture, ArchitectureError, Head, Layer, Pool};
use super::convolution::Convolution;
use super::fused::{Activation, Fused};
use super::parts;
use super::pooling::{average_pool, max_pool};
use super::scores::Scores;
use super::simd::{Fetch, MlpConv, WinogradConv, max_pool_by_rows};
use super::team;
use super::weights::Weights;
use tch::{Kind, TchError, Tensor};

/// Arithmetic of the forward pass. Class maps are pooled in f32 either way.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    Bf16,
}

impl Precision {
    /// bf16 where the processor multiplies it natively (AVX512-BF16, AMX), else f32.
    pub fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512bf16") {
            return Self::Bf16;
        }
        Self::F32
    }

    /// Whether this processor computes in it, or libtorch has to make do with something slower.
    pub fn is_native(self) -> bool {
        self == Self::F32 || self == Self::fastest()
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// Memory order of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[N, C, H, W]` as written: libtorch's own habit.
    Planar,
    /// Channels innermost, as image decoders write pixels.
    ChannelsLast,
    /// As [`Layout::ChannelsLast`], with weights in blocks of oneDNN's own, and ReLU within the
    /// convolution.
    Fused,
    /// As [`Layout::Fused`], with convolutions of our own where they pay, and large batches in parts.
    /// What is served where the precision is native.
    Served,
}

/// Bytes of weights that are not worth reading ahead: most of them stay in a core's own cache.
const WORTH_FETCHING: usize = 2 << 20;

/// A network with its weights, ready to run. Not `Sync`: one thread owns it.
#[derive(Debug)]
pub struct Network {
    steps: Vec<Step>,
    fused: Fused,
    head: Head,
    precision: Precision,
    layout: Layout,
}

#[derive(Debug)]
pub(super) enum Step {
    Conv(Convolution),
    FusedConv(Convolution),
    WinogradConv(WinogradConv),
    MlpConv(MlpConv),
    Relu,
    MaxPool(Pool),
    MaxPoolByRows(Pool),
    AveragePool(Pool),
}

impl Network {
    /// Puts `weights`, already checked against `architecture`, into memory order for the pass.
    /// Pictures of `size`, width and height, are what it runs fastest.
    pub fn new(
        architecture: &Architecture,
        weights: &Weights,
        size: (u32, u32),
        precision: Precision,
    ) -> Result<Self, TchError> {
        let layout = if precision.is_native() { Layout::Served } else { Layout::ChannelsLast };
        Self::laid_out(architecture, weights, size, (precision, layout))
    }

    /// As [`Network::new`], in a memory order of choice.
    pub fn laid_out(
        architecture: &Architecture,
        weights: &Weights,
        size: (u32, u32),
        (precision, layout): (Precision, Layout),
    ) -> Result<Self, TchError> {
        let fused = Fused::load()?;
        let too_small = |error: ArchitectureError| TchError::Shape(error.to_string());
        let outputs = architecture.sizes(size.0, size.1).map_err(too_small)?;
        let inputs = std::iter::once(size).chain(outputs);
        let mut convolutions = weights.convolutions.iter();
        let mut layers = architecture.layers.iter().zip(inputs).peekable();
        let mut steps = Vec::new();
        let mut positive = false;
        while let Some((layer, size)) = layers.next() {
            let step = match *layer {
                Layer::Conv { stride, padding, .. } => {
                    let (weight, bias) = convolutions
                        .next()
                        .ok_or_else(|| TchError::Shape("fewer weights than layers".into()))?;
                    let relu = layers.next_if(|(next, _)| matches!(next, Layer::Relu));
                    positive = relu.is_some();
                    let activation = relu.map_or(Activation::None, |_| Activation::Relu);
                    let kind = precision.kind();
                    let values = (weight.f_to_kind(kind)?, bias.f_to_kind(kind)?);
                    let settings = [stride, padding].map(i64::from);
                    let convolution = Convolution::new(values, settings, activation);
                    convolution.laid_out((layout, size), &fused)?
                }
                Layer::Relu => Step::Relu,
                // Of bf16 only what ReLU has been at.
                Layer::MaxPool(pool)
                    if layout == Layout::Served && (positive || precision == Precision::F32) =>
                {
                    Step::MaxPoolByRows(pool)
                }
                Layer::MaxPool(pool) => Step::MaxPool(pool),
                Layer::AveragePool(pool) => Step::AveragePool(pool),
                Layer::Dropout { .. } => continue,
            };
            append(&mut steps, step);
        }
        Ok(Self { steps, fused, head: architecture.head, precision, layout })
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether libtorch makes a kernel for each shape of input.
    pub(super) fn makes_kernels(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Conv(_) | Step::FusedConv(_)))
    }

    /// Runs `work`, and has another thread of the team help: it takes what is offered by
    /// [`pair::join`](crate::pair::join), and reads the weights of our own layers meanwhile, from the first
    /// layer on, so that by the next pass they are in the caches.
    pub fn run_beside(&self, work: impl FnOnce() + Send) {
        let mut weights: Vec<_> = self.steps.iter().flat_map(Step::weights).collect();
        if weights.iter().map(|weights| weights.bytes()).sum::<usize>() < WORTH_FETCHING {
            weights.clear();
        }
        team::run_with_help(work, &|wanted| weights.iter().for_each(|part| part.fetch(wanted)));
    }

    /// Runs a batch of prepared input `[N, C, H, W]` (any strides; channels-last is fastest).
    pub fn forward(&self, input: &Tensor) -> Result<Scores, TchError> {
        match self.layout {
            Layout::Served => parts::forward(self, input),
            Layout::Planar | Layout::ChannelsLast | Layout::Fused => self.pass(input),
        }
    }

    /// As [`Network::forward`], layer by layer.
    pub(super) fn pass(&self, input: &Tensor) -> Result<Scores, TchError> {
        let _guard = tch::no_grad_guard();
        let mut x = input.f_to_kind(self.precision.kind())?;
        for step in &self.steps {
            x = step.run(&x, self)?;
        }
        Scores::read(&x.f_to_kind(Kind::Float)?, self.head)
    }
}

impl Step {
    /// Those of layers of our own.
    fn weights(&self) -> Vec<&dyn Fetch> {
        match self {
            Self::WinogradConv(convolution) => vec![convolution.weights()],
            Self::MlpConv(block) => block.weights(),
            _ => Vec::new(),
        }
    }

    fn run(&self, x: &Tensor, network: &Network) -> Result<Tensor, TchError> {
        match self {
            Self::Conv(convolution) => convolution.run(x),
            Self::FusedConv(convolution) => convolution.run_fused(x, &network.fused),
            Self::WinogradConv(convolution) => convolution.run(x),
            Self::MlpConv(block) => block.run(x),
            // The tensor before is ours alone, so it may be overwritten.
            Self::Relu => x.shallow_clone().f_relu_(),
            Self::MaxPool(pool) => max_pool(x, *pool),
            Self::MaxPoolByRows(pool) => max_pool_by_rows(x, network.precision, *pool),
            Self::AveragePool(pool) => average_pool(x, *pool),
        }
    }
}

/// 1×1 convolutions become part of the block that they follow.
fn append(steps: &mut Vec<Step>, next: Step) {
    let left = match (steps.last_mut(), next) {
        (Some(Step::MlpConv(block)), Step::MlpConv(next)) => block.append(next).map(Step::MlpConv),
        (_, next) => Some(next),
    };
    steps.extend(left);
}

/// The same `[A, B, C, D]` values, laid out in memory as `[A, C, D, B]`.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
