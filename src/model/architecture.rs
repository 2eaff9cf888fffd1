//! Network-in-Network architectures as data.
//!
//! A network is a list of layers and a head. Code, `model.toml` and documentation share this
//! description; the presets in [`super::preset`] are written in it.

use serde::{Deserialize, Serialize};

/// The layers of a network, in order, and how class scores are read from the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    pub layers: Vec<Layer>,
    #[serde(default)]
    pub head: Head,
}

/// One layer. Kernels are square; strides and paddings hold for both axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layer {
    /// A convolution with bias. With `kernel = 1` it is the perceptron at every pixel that gives
    /// Network-in-Network its name.
    Conv {
        filters: u32,
        kernel: u32,
        #[serde(default = "one")]
        stride: u32,
        #[serde(default)]
        padding: u32,
    },
    Relu,
    MaxPool(Pool),
    AveragePool(Pool),
    /// Only in training; a served network passes through.
    Dropout {
        rate: f64,
    },
}

/// A pooling window. Sizes are rounded up (`ceil_mode`), as in Caffe, so that 32 → 16 → 8; the
/// part of a window that hangs over the edge does not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub kernel: u32,
    pub stride: u32,
}

/// How probabilities are read from the class confidence maps `[N, K, h, w]` of the last layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// Global average pooling, then softmax (Lin et al. 2013, section 3.2).
    #[default]
    PoolThenSoftmax,
    /// Softmax over the classes at every position, then global average pooling: the answer is the
    /// mean of per-position distributions.
    SoftmaxThenPool,
}

/// The centres of the receptive fields of a map's cells, in input pixels: along both axes, that of
/// cell `i` is at `offset + i * stride`. The first pixel of the input spans 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapGrid {
    pub offset: f64,
    pub stride: f64,
}

fn one() -> u32 {
    1
}

/// Why an architecture can't run on an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    #[error(
        "architecture: the last convolution has {found} filters, expected one per class ({classes})"
    )]
    Classes { found: u32, classes: u32 },
    #[error("architecture: there is no convolution among the layers")]
    NoConvolution,
    #[error("architecture: layer {index}: {reason}")]
    Layer { index: usize, reason: String },
    #[error(
        "architecture: layer {index}: the {kernel}×{kernel} window does not fit into the {width}×{height} map before it"
    )]
    TooSmall { index: usize, kernel: u32, width: u32, height: u32 },
}

/// The weight shapes of one convolution, `[filters, channels, kernel, kernel]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    pub filters: u32,
    pub channels: u32,
    pub kernel: u32,
}

impl ConvShape {
    /// Shape of the weight tensor, `[filters, channels, kernel, kernel]`.
    pub fn weight(&self) -> [usize; 4] {
        let kernel = self.kernel as usize;
        [self.filters as usize, self.channels as usize, kernel, kernel]
    }

    /// Weights and biases.
    pub fn parameters(&self) -> u64 {
        self.weight().iter().map(|&side| side as u64).product::<u64>() + u64::from(self.filters)
    }
}

/// Largest number that a layer may name for filters, kernel, stride or padding. Far above any NiN;
/// it keeps sizes computed from a hostile `model.toml` inside 64 bits.
const LARGEST: u32 = 8192;

impl Architecture {
    /// The convolutions in order; the tensors of the `i`-th (from 1) are `conv<i>.weight` and
    /// `conv<i>.bias`.
    pub fn convolutions(&self, channels: u32) -> Vec<ConvShape> {
        let mut channels = channels;
        let mut shapes = Vec::new();
        for layer in &self.layers {
            if let Layer::Conv { filters, kernel, .. } = *layer {
                shapes.push(ConvShape { filters, channels, kernel });
                channels = filters;
            }
        }
        shapes
    }

    /// Weights and biases of all convolutions.
    pub fn parameters(&self, channels: u32) -> u64 {
        self.convolutions(channels).iter().map(ConvShape::parameters).sum()
    }

    /// Checks every layer and gives the size of the class confidence maps, `(width, height)`, for
    /// an input of `width` × `height` pixels.
    pub fn map_size(&self, width: u32, height: u32) -> Result<(u32, u32), ArchitectureError> {
        Ok(self.sizes(width, height)?.last().copied().unwrap_or((width, height)))
    }

    /// As [`Architecture::map_size`], for the output of every layer.
    pub fn sizes(&self, width: u32, height: u32) -> Result<Vec<(u32, u32)>, ArchitectureError> {
        let mut size = (width, height);
        let mut sizes = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            layer.check().map_err(|reason| ArchitectureError::Layer { index, reason })?;
            let (kernel, next) = match *layer {
                Layer::Conv { kernel, stride, padding, .. } => {
                    let side = |side| conv_side(side, kernel, stride, padding);
                    (kernel, side(size.0).zip(side(size.1)))
                }
                Layer::MaxPool(pool) | Layer::AveragePool(pool) => {
                    (pool.kernel, pool.side(size.0).zip(pool.side(size.1)))
                }
                Layer::Relu | Layer::Dropout { .. } => (1, Some(size)),
            };
            let (width, height) = size;
            size = next.ok_or(ArchitectureError::TooSmall { index, kernel, width, height })?;
            sizes.push(size);
        }
        Ok(sizes)
    }

    /// Multiplications of weights with values for one input of `channels` × `width` × `height`, as
    /// the definition of convolution has it.
    pub fn multiplications(
        &self,
        channels: u32,
        width: u32,
        height: u32,
    ) -> Result<u64, ArchitectureError> {
        let sizes = self.sizes(width, height)?;
        let is_convolution = |layer: &Layer| matches!(layer, Layer::Conv { .. });
        let outputs = self.layers.iter().zip(sizes).filter(|(layer, _)| is_convolution(layer));
        let weights = self.convolutions(channels).into_iter().map(|shape| shape.weight());
        let each = outputs.zip(weights).map(|((_, (width, height)), weight)| {
            weight.map(|side| side as u64).iter().product::<u64>()
                * u64::from(width)
                * u64::from(height)
        });
        Ok(each.sum())
    }

    /// Where the cells of the class confidence maps lie over the input.
    pub fn map_grid(&self) -> MapGrid {
        let mut grid = MapGrid { offset: 0.5, stride: 1.0 };
        for layer in &self.layers {
            let (kernel, stride, padding) = match *layer {
                Layer::Conv { kernel, stride, padding, .. } => (kernel, stride, padding),
                Layer::MaxPool(pool) | Layer::AveragePool(pool) => (pool.kernel, pool.stride, 0),
                Layer::Relu | Layer::Dropout { .. } => continue,
            };
            let first = (f64::from(kernel) - 1.0) / 2.0 - f64::from(padding);
            grid.offset += first * grid.stride;
            grid.stride *= f64::from(stride);
        }
        grid
    }

    /// The same layers with another rate for every dropout layer.
    pub fn with_dropout(mut self, new: f64) -> Self {
        for layer in &mut self.layers {
            if let Layer::Dropout { rate } = layer {
                *rate = new;
            }
        }
        self
    }

    /// Checks that the last convolution has one filter per class.
    pub fn check_classes(&self, classes: u32) -> Result<(), ArchitectureError> {
        let last = self.layers.iter().rev().find_map(|layer| match *layer {
            Layer::Conv { filters, .. } => Some(filters),
            _ => None,
        });
        match last {
            None => Err(ArchitectureError::NoConvolution),
            Some(found) if found != classes => Err(ArchitectureError::Classes { found, classes }),
            Some(_) => Ok(()),
        }
    }
}

impl Layer {
    fn check(&self) -> Result<(), String> {
        let positive = |name: &str, value: u32| match value {
            1..=LARGEST => Ok(()),
            _ => Err(format!("{name} must be between 1 and {LARGEST}, not {value}")),
        };
        match *self {
            Self::Conv { filters, kernel, stride, padding } => {
                positive("filters", filters)?;
                positive("kernel", kernel)?;
                positive("stride", stride)?;
                if padding >= kernel {
                    return Err(format!("padding {padding} must be below the kernel of {kernel}"));
                }
            }
            Self::MaxPool(pool) | Self::AveragePool(pool) => {
                positive("kernel", pool.kernel)?;
                positive("stride", pool.stride)?;
                if pool.stride > pool.kernel {
                    let Pool { kernel, stride } = pool;
                    return Err(format!(
                        "stride {stride} of a pool must not exceed its kernel {kernel}"
                    ));
                }
            }
            Self::Dropout { rate } if !(0.0..1.0).contains(&rate) => {
                return Err(format!("dropout rate must be at least 0 and below 1, not {rate}"));
            }
            Self::Relu | Self::Dropout { .. } => {}
        }
        Ok(())
    }
}

fn conv_side(side: u32, kernel: u32, stride: u32, padding: u32) -> Option<u32> {
    Some((side + 2 * padding).checked_sub(kernel)? / stride + 1)
}

impl Pool {
    /// Output side, rounded up. A last window that would start past the edge is left out.
    pub(super) fn side(self, side: u32) -> Option<u32> {
        let out = side.checked_sub(self.kernel)?.div_ceil(self.stride) + 1;
        Some(if (out - 1) * self.stride >= side { out - 1 } else { out })
    }
}
