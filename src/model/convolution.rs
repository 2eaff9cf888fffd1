//! A convolution of a served network, in the memory order that it runs fastest in.

use super::fused::{Activation, Fused};
use super::network::{Layout, Step, channels_last};
use super::simd::{MlpConv, WinogradConv, has_tiles};
use std::time::{Duration, Instant};
use tch::{Device, Kind, TchError, Tensor};

/// Weights are packed for batches of this size. oneDNN mostly wants the same order for all.
const PACKING_BATCH: i64 = 8;
/// Sizes for which it may want another, the largest first.
const SMALL_BATCHES: [i64; 2] = [4, 1];
/// How much slower packed weights are, where they have to be reordered in every call. It was up to 200
/// times; where nothing is to be reordered they are faster.
const REORDERED: u32 = 3;
/// How often that is timed. The least time counts: what else the machine does only adds to it, and may
/// add a lot while all models are loaded.
const TRIALS: usize = 3;
/// What takes longer is timed once: what else the machine does matters little then.
const LONG: Duration = Duration::from_millis(20);
/// What takes longer the first time, is not run again: to make the kernel, too, takes less than that.
const WITH_KERNEL: Duration = Duration::from_millis(100);

/// A convolution and what follows it.
#[derive(Debug)]
pub(super) struct Convolution {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
    activation: Activation,
    /// A weight that is not packed, and the largest batch that it is for.
    small: Option<(Tensor, i64)>,
}

impl Convolution {
    /// Of a weight as it is stored, `[filters, channels, kernel, kernel]`, and a bias of the same kind.
    pub(super) fn new(
        (weight, bias): (Tensor, Tensor),
        [stride, padding]: [i64; 2],
        activation: Activation,
    ) -> Self {
        Self { weight, bias, stride, padding, activation, small: None }
    }

    /// `self` has a weight as it is stored, `[filters, channels, kernel, kernel]`. `size` is width
    /// and height of what it will convolve.
    pub(super) fn laid_out(
        self,
        (layout, size): (Layout, (u32, u32)),
        fused: &Fused,
    ) -> Result<Step, TchError> {
        if layout == Layout::Planar {
            return Ok(Step::Conv(self));
        }
        let weight = channels_last(&self.weight)?;
        if layout == Layout::ChannelsLast {
            return Ok(Step::Conv(Self { weight, ..self }));
        }
        let served = layout == Layout::Served;
        // Beside bf16, too, but not beside tiles, which multiply so many more at once.
        let shortened = served && (self.weight.kind() == Kind::Float || !has_tiles());
        if shortened && self.stride == 1 {
            let values = (&weight, &self.bias);
            let convolution = WinogradConv::new(values, size, self.padding, self.activation);
            if let Some(convolution) = convolution? {
                return Ok(Step::WinogradConv(convolution));
            }
        }
        if served {
            let (values, settings) = ((&weight, &self.bias), [self.stride, self.padding]);
            if let Some(block) = MlpConv::new(values, settings, self.activation)? {
                return Ok(Step::MlpConv(block));
            }
        }
        let sides = [size.0, size.1].map(i64::from);
        Ok(Step::FusedConv(self.packed(sides, fused)?))
    }

    /// For inputs of this width and height.
    fn packed(self, [width, height]: [i64; 2], fused: &Fused) -> Result<Self, TchError> {
        let plain = channels_last(&self.weight)?;
        let input = |batch| [batch, plain.size()[1], height, width];
        let (settings, batch) = ([self.stride, self.padding], PACKING_BATCH);
        let weight = fused.pack(&plain, settings, input(batch))?;
        let mut packed = Self { weight, ..self };
        for batch in SMALL_BATCHES {
            let x = Tensor::f_zeros(input(batch), (plain.kind(), Device::Cpu))?;
            let x = channels_last(&x)?;
            if packed.is_reordered(&x, &plain, fused)? {
                packed.small = Some((plain, batch));
                break;
            }
        }
        Ok(packed)
    }

    /// Whether the packed weight is in the wrong order for `x`, be it for one thread or for all.
    fn is_reordered(&self, x: &Tensor, plain: &Tensor, fused: &Fused) -> Result<bool, TchError> {
        let all = tch::get_num_threads();
        let timed = |weight| {
            let mut least = Duration::MAX;
            // The first run makes the kernel.
            for trial in 0..=TRIALS {
                let started = Instant::now();
                let _ = self.convolve(x, weight, fused)?;
                let took = started.elapsed();
                if trial > 0 || took > WITH_KERNEL {
                    least = least.min(took);
                }
                if least < Duration::MAX && took > LONG {
                    break;
                }
            }
            Ok::<_, TchError>(least)
        };
        let compare = |threads| {
            tch::set_num_threads(threads);
            Ok::<_, TchError>(timed(&self.weight)? > REORDERED * timed(plain)?)
        };
        let found = compare(1).and_then(|one| Ok(one || compare(all)?));
        tch::set_num_threads(all);
        found
    }

    /// With a packed weight.
    pub(super) fn run_fused(&self, x: &Tensor, fused: &Fused) -> Result<Tensor, TchError> {
        let batch = x.size().first().copied().unwrap_or_default();
        let weight = match &self.small {
            Some((plain, largest)) if batch <= *largest => plain,
            _ => &self.weight,
        };
        self.convolve(x, weight, fused)
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor, fused: &Fused) -> Result<Tensor, TchError> {
        let settings = [self.stride, self.padding];
        fused.convolve(x, (weight, &self.bias), settings, self.activation)
    }

    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        let y = x.f_conv2d(&self.weight, Some(&self.bias), stride, padding, [1; 2], 1)?;
        self.activation.apply(y)
    }
}

impl Activation {
    /// Overwrites `x`.
    fn apply(self, mut x: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::None => Ok(x),
            Self::Relu => x.f_relu_(),
        }
    }
}
