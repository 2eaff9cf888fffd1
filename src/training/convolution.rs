//! A convolution that learns, with a bias or with batch normalisation after it.

use super::net::Mode;
use super::winograd::{self, Winograd};
use crate::model::architecture::ConvShape;
use crate::model::network::channels_last;
use tch::{Device, Kind, TchError, Tensor};

const BATCH_NORM_MOMENTUM: f64 = 0.1;
const BATCH_NORM_EPSILON: f64 = 1e-5;
/// Length of a filter drawn as in [`Convolution::new`], about.
const FRESH_LENGTH: f64 = std::f64::consts::SQRT_2;

/// Stride and padding of a convolution.
pub(super) type Geometry = [i64; 2];

#[derive(Debug)]
pub(super) struct Convolution {
    /// `[filters, channels, kernel, kernel]`, f32, channels-last.
    pub(super) weight: Tensor,
    pub(super) after: After,
}

#[derive(Debug)]
pub(super) enum After {
    Bias(Tensor),
    Norm(BatchNorm),
}

/// `[filters]` each, f32.
#[derive(Debug)]
pub(super) struct BatchNorm {
    pub(super) gain: Tensor,
    pub(super) offset: Tensor,
    pub(super) mean: Tensor,
    pub(super) variance: Tensor,
}

impl Convolution {
    /// Fresh weights (He et al. 2015, fan-in).
    pub(super) fn new(shape: &ConvShape, normalised: bool) -> Result<Self, TchError> {
        let sides = shape.weight().map(|side| side as i64);
        let fan_in = f64::from(shape.channels * shape.kernel * shape.kernel);
        let cpu = (Kind::Float, Device::Cpu);
        let weight = Tensor::f_randn(sides, cpu)?.f_mul_scalar_((2.0 / fan_in).sqrt())?;
        let filters = [sides[0]];
        let after = if normalised {
            After::Norm(BatchNorm {
                gain: Tensor::f_ones(filters, cpu)?.f_set_requires_grad(true)?,
                offset: Tensor::f_zeros(filters, cpu)?.f_set_requires_grad(true)?,
                mean: Tensor::f_zeros(filters, cpu)?,
                variance: Tensor::f_ones(filters, cpu)?,
            })
        } else {
            After::Bias(Tensor::f_zeros(filters, cpu)?.f_set_requires_grad(true)?)
        };
        Ok(Self { weight: channels_last(&weight)?.f_set_requires_grad(true)?, after })
    }

    /// Convolves `x`, `[N, C, H, W]` of `kind`, and does what comes after it.
    pub(super) fn run(
        &self,
        x: &Tensor,
        [stride, padding]: Geometry,
        (kind, mode): (Kind, Mode),
        winograd: &Winograd,
    ) -> Result<Tensor, TchError> {
        let y = if kind == Kind::Float && winograd::pays(&self.weight.size(), stride) {
            winograd.convolve(x, &winograd.transform(&self.weight)?, padding)?
        } else {
            let weight = self.weight.f_to_kind(kind)?;
            x.f_conv2d(&weight, None::<&Tensor>, [stride; 2], [padding; 2], [1; 2], 1)?
        };
        match &self.after {
            After::Bias(bias) => y.f_add(&bias.f_to_kind(kind)?.f_view([-1, 1, 1])?),
            After::Norm(norm) => norm.run(&y, mode),
        }
    }

    /// The opposite of [`Convolution::fold`], for a convolution that will see inputs like `x`.
    pub(super) fn adopt(
        &self,
        (weight, bias): &(Tensor, Tensor),
        x: &Tensor,
        geometry: Geometry,
    ) -> Result<(), TchError> {
        let set = |tensor: &Tensor, value: &Tensor| tensor.shallow_clone().f_copy_(value);
        let norm = match &self.after {
            After::Norm(norm) => norm,
            After::Bias(own) => return set(&self.weight, weight).and_then(|()| set(own, bias)),
        };
        // A filter's length means nothing under normalisation, but how fast it turns at a given
        // learning rate: all get that of fresh ones, and the gain makes up for it.
        let length = weight.f_square()?.f_sum_dim_intlist([1i64, 2, 3].as_slice(), true, None)?;
        let length = length.f_sqrt()?.f_clamp_min(1e-6)?.f_div_scalar(FRESH_LENGTH)?;
        set(&self.weight, &weight.f_div(&length)?)?;
        let length = length.f_flatten(0, -1)?;
        norm.measure(&self.bare(x, geometry)?)?;
        let deviation = norm.variance.f_add_scalar(BATCH_NORM_EPSILON)?.f_sqrt()?;
        set(&norm.gain, &deviation.f_mul(&length)?)?;
        set(&norm.offset, &norm.mean.f_mul(&length)?.f_add(bias)?)
    }

    /// The convolution in f32, without what comes after it.
    pub(super) fn bare(&self, x: &Tensor, [stride, padding]: Geometry) -> Result<Tensor, TchError> {
        x.f_conv2d(&self.weight, None::<&Tensor>, [stride; 2], [padding; 2], [1; 2], 1)
    }

    pub(super) fn fold(&self) -> Result<(Tensor, Tensor), TchError> {
        match &self.after {
            After::Bias(bias) => Ok((self.weight.f_contiguous()?, bias.f_detach_copy()?)),
            After::Norm(norm) => {
                let deviation = norm.variance.f_add_scalar(BATCH_NORM_EPSILON)?.f_sqrt()?;
                let gain = norm.gain.f_div(&deviation)?;
                let weight = self.weight.f_mul(&gain.f_view([-1, 1, 1, 1])?)?;
                let bias = norm.offset.f_sub(&norm.mean.f_mul(&gain)?)?;
                Ok((weight.f_contiguous()?, bias))
            }
        }
    }
}

impl BatchNorm {
    /// Takes mean and variance per channel from `y`, `[N, filters, h, w]`.
    pub(super) fn measure(&self, y: &Tensor) -> Result<(), TchError> {
        let (variance, mean) = y.f_var_mean_dim([0i64, 2, 3].as_slice(), false, false)?;
        self.mean.shallow_clone().f_copy_(&mean)?;
        self.variance.shallow_clone().f_copy_(&variance)
    }

    fn run(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        Tensor::f_batch_norm(
            x,
            Some(&self.gain),
            Some(&self.offset),
            Some(&self.mean),
            Some(&self.variance),
            mode == Mode::Train,
            BATCH_NORM_MOMENTUM,
            BATCH_NORM_EPSILON,
            false,
        )
    }
}
