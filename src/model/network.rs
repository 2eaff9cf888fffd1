//! The forward pass of a served network: convolutions, ReLU and pooling in inference mode.

use super::architecture::{Architecture, Head, Layer, Pool};
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
    /// Channels innermost, as image decoders write pixels. What is served.
    ChannelsLast,
    /// As [`Layout::ChannelsLast`], with weights in blocks of oneDNN's own.
    Prepacked,
}

/// A network with its weights, ready to run. Not `Sync`: one thread owns it.
#[derive(Debug)]
pub struct Network {
    steps: Vec<Step>,
    head: Head,
    precision: Precision,
}

#[derive(Debug)]
enum Step {
    Conv { weight: Tensor, bias: Tensor, stride: i64, padding: i64 },
    PackedConv { weight: Tensor, bias: Tensor, stride: i64, padding: i64 },
    Relu,
    MaxPool(Pool),
    AveragePool(Pool),
}

/// What the head makes of a batch of class maps.
#[derive(Debug)]
pub struct Scores {
    /// `[N, K]`, f32. For [`Head::SoftmaxThenPool`] the logarithm of the probabilities, since the
    /// mean of distributions has no other logits.
    pub logits: Tensor,
    /// `[N, K]`, f32, each row sums to 1.
    pub probabilities: Tensor,
    /// Class confidence maps `[N, K, h, w]`, f32. Their mean over `h × w` is the logit, or for
    /// [`Head::SoftmaxThenPool`] the probability.
    pub maps: Tensor,
}

impl Network {
    /// Puts `weights`, already checked against `architecture`, into memory order for the pass.
    pub fn new(
        architecture: &Architecture,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self, TchError> {
        Self::laid_out(architecture, weights, precision, Layout::ChannelsLast)
    }

    /// As [`Network::new`], in a memory order of choice.
    pub fn laid_out(
        architecture: &Architecture,
        weights: &Weights,
        precision: Precision,
        layout: Layout,
    ) -> Result<Self, TchError> {
        let mut convolutions = weights.convolutions.iter();
        let mut steps = Vec::new();
        for layer in &architecture.layers {
            steps.push(match *layer {
                Layer::Conv { stride, padding, .. } => {
                    let (weight, bias) = convolutions
                        .next()
                        .ok_or_else(|| TchError::Shape("fewer weights than layers".into()))?;
                    let (stride, padding) = (i64::from(stride), i64::from(padding));
                    let bias = bias.f_to_kind(precision.kind())?;
                    let plain = |weight: &Tensor| weight.f_to_kind(precision.kind());
                    match layout {
                        Layout::Planar => {
                            Step::Conv { weight: plain(weight)?, bias, stride, padding }
                        }
                        Layout::ChannelsLast => {
                            let weight = plain(&channels_last(weight)?)?;
                            Step::Conv { weight, bias, stride, padding }
                        }
                        Layout::Prepacked => {
                            let weight = pack(&plain(weight)?, stride, padding)?;
                            Step::PackedConv { weight, bias, stride, padding }
                        }
                    }
                }
                Layer::Relu => Step::Relu,
                Layer::MaxPool(pool) => Step::MaxPool(pool),
                Layer::AveragePool(pool) => Step::AveragePool(pool),
                Layer::Dropout { .. } => continue,
            });
        }
        Ok(Self { steps, head: architecture.head, precision })
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Runs a batch of prepared input `[N, C, H, W]` (any strides; channels-last is fastest).
    pub fn forward(&self, input: &Tensor) -> Result<Scores, TchError> {
        let _guard = tch::no_grad_guard();
        let mut x = input.f_to_kind(self.precision.kind())?;
        for step in &self.steps {
            x = step.run(&x)?;
        }
        read_scores(&x.f_to_kind(Kind::Float)?, self.head)
    }
}

impl Step {
    fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Conv { weight, bias, stride, padding } => {
                x.f_conv2d(weight, Some(bias), [*stride; 2], [*padding; 2], [1; 2], 1)
            }
            Self::PackedConv { weight, bias, stride, padding } => {
                x.f_mkldnn_convolution(weight, Some(bias), [*padding; 2], [*stride; 2], [1; 2], 1)
            }
            // The tensor before is ours alone, so it may be overwritten.
            Self::Relu => x.shallow_clone().f_relu_(),
            Self::MaxPool(pool) => max_pool(x, *pool),
            Self::AveragePool(pool) => average_pool(x, *pool),
        }
    }
}

/// A convolution's weight in the blocks that oneDNN's kernel reads.
fn pack(weight: &Tensor, stride: i64, padding: i64) -> Result<Tensor, TchError> {
    let opaque = weight.f_to_mkldnn(None)?;
    opaque.f_mkldnn_reorder_conv2d_weight([padding; 2], [stride; 2], [1; 2], 1, None::<&[i64]>)
}

/// Reads logits and probabilities from class maps `[N, K, h, w]` in f32.
pub fn read_scores(maps: &Tensor, head: Head) -> Result<Scores, TchError> {
    match head {
        Head::PoolThenSoftmax => {
            let logits = mean_over_positions(maps)?;
            let probabilities = logits.f_softmax(1, Kind::Float)?;
            Ok(Scores { logits, probabilities, maps: maps.shallow_clone() })
        }
        Head::SoftmaxThenPool => {
            let maps = maps.f_softmax(1, Kind::Float)?;
            let probabilities = mean_over_positions(&maps)?;
            Ok(Scores { logits: probabilities.f_log()?, probabilities, maps })
        }
    }
}

fn mean_over_positions(maps: &Tensor) -> Result<Tensor, TchError> {
    maps.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)
}

pub(crate) fn max_pool(x: &Tensor, Pool { kernel, stride }: Pool) -> Result<Tensor, TchError> {
    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
    x.f_max_pool2d([kernel; 2], [stride; 2], [0; 2], [1; 2], true)
}

pub(crate) fn average_pool(x: &Tensor, Pool { kernel, stride }: Pool) -> Result<Tensor, TchError> {
    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
    x.f_avg_pool2d([kernel; 2], [stride; 2], [0; 2], true, true, None)
}

/// The same `[A, B, C, D]` values, laid out in memory as `[A, C, D, B]`.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
