//! Convolution with a quarter of the multiplications, or fewer.
//!
//! Winograd's minimal filtering, F(4×4, 5×5) and F(4×4, 3×3) (Lavin & Gray 2015, arXiv:1509.09308): the
//! output is cut into tiles of 4×4, each of which depends on 8×8 (6×6) of the input. Transformed tiles
//! are multiplied by transformed filters at 64 (36) points, and transformed back: so many
//! multiplications for each pair of channels instead of 16 · 25 = 400 (16 · 9 = 144). What rounding adds
//! is of the order of 1e-5 of the largest output, and of 1e-3 where whole numbers of 16 bits are multiplied.

use tch::{Kind, TchError, Tensor};

use super::Epilogue;
use super::fetch::Fetch;
use super::fixed::{Fixed, Scaling};
use super::registers::Available;
use super::tiled::Tiled;
use super::transform::{Filtering, OfFive, OfThree};
use crate::model::fused::Activation;

/// A convolution of 5×5 or 3×3 and stride 1, of what is f32 or bf16. With weights of bf16 it multiplies in
/// whole numbers of 16 bits where the processor does, else in f32.
#[derive(Debug)]
pub(in crate::model) struct WinogradConv(Box<dyn Algorithm>);

/// Whatever it multiplies, and what in.
trait Algorithm: std::fmt::Debug + Send + Sync {
    fn run(&self, x: &Tensor) -> Result<Tensor, TchError>;
    fn weights(&self) -> &dyn Fetch;
}

impl<M, F, const REACH: usize, const KERNEL: usize> Algorithm for Tiled<M, F, REACH, KERNEL>
where
    M: Scaling,
    F: Filtering<REACH, KERNEL>,
{
    fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        Self::run(self, x)
    }

    fn weights(&self) -> &dyn Fetch {
        &self.weights.panels
    }
}

impl WinogradConv {
    /// Of a `weight`, `[filters, channels, kernel, kernel]`, and a `bias`, `[filters]`, for pictures of
    /// `size`, width and height. None where there is no such algorithm here, or nothing to be gained.
    pub(in crate::model) fn new(
        (weight, bias): (&Tensor, &Tensor),
        size: (u32, u32),
        padding: i64,
        activation: Activation,
    ) -> Result<Option<Self>, TchError> {
        let fixed = Fixed::detect().filter(|_| weight.kind() == Kind::BFloat16);
        let (values, place) = ((weight, Epilogue::new(bias, activation)?), (size, padding));
        match (fixed, Available::detect()) {
            (Some(fixed), _) => Self::of(fixed, values, place),
            (_, Some(Available::Avx512(registers))) => Self::of(registers, values, place),
            (_, Some(Available::Avx2(registers))) => Self::of(registers, values, place),
            _ => Ok(None),
        }
    }

    fn of<M: Scaling>(
        multiplier: M,
        values: (&Tensor, Epilogue),
        place: ((u32, u32), i64),
    ) -> Result<Option<Self>, TchError> {
        fn boxed(algorithm: impl Algorithm + 'static) -> WinogradConv {
            WinogradConv(Box::new(algorithm))
        }
        Ok(match values.0.size()[2..] {
            [5, 5] => Tiled::<M, OfFive, 8, 5>::new(multiplier, values, place)?.map(boxed),
            [3, 3] => Tiled::<M, OfThree, 6, 3>::new(multiplier, values, place)?.map(boxed),
            _ => None,
        })
    }

    /// The output, `[N, filters, h, w]`, for `x`, `[N, channels, H, W]`; channels-last, as `x` should be.
    pub(in crate::model) fn run(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.0.run(x)
    }

    /// Transformed.
    pub(in crate::model) fn weights(&self) -> &dyn Fetch {
        self.0.weights()
    }
}

#[cfg(test)]
mod tests {
    use super::super::registers::Available;
    use super::*;
    use tch::Device;

    const SIZE: (u32, u32) = (16, 16);

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn it_convolves_like_the_definition_whatever_the_size() {
        for threads in [1, 3] {
            tch::set_num_threads(threads);
            check();
        }
    }

    fn check() {
        tch::manual_seed(1);
        for (kernel, filters, pictures, side, padding) in [
            (5, 80, 1, 16, 2),
            (5, 80, 40, 7, 2),
            (5, 64, 3, 12, 0),
            (5, 80, 2, 5, 0),
            (5, 80, 2, 3, 2),
            (3, 80, 40, 8, 1),
            (3, 48, 9, 13, 1),
            (3, 64, 2, 9, 4),
            (3, 80, 1, 3, 0),
            (3, 10, 3, 7, 0),
        ] {
            let x = random(&[pictures, 64, side, side + 1]);
            let (weight, bias) = (random(&[filters, 64, kernel, kernel]), random(&[filters]));
            for kind in [Kind::Float, Kind::BFloat16] {
                // Of the same numbers. bf16 rounds what comes out to eight bits.
                let tolerance = if kind == Kind::Float { 1e-4 } else { 5e-3 };
                let [x, weight] = [&x, &weight].map(|x| x.to_kind(kind).to_kind(Kind::Float));
                let expected = x.conv2d(&weight, Some(&bias), [1; 2], [padding; 2], [1; 2], 1);
                for (activation, expected) in
                    [(Activation::None, expected.copy()), (Activation::Relu, expected.relu())]
                {
                    let values = (&weight.to_kind(kind), &bias);
                    let convolution = WinogradConv::new(values, SIZE, padding, activation);
                    let Some(convolution) = convolution.expect("weights") else {
                        assert!(Available::detect().is_none());
                        return;
                    };
                    let found = convolution.run(&x.to_kind(kind)).expect("output");
                    assert_eq!((found.kind(), found.size()), (kind, expected.size()));
                    let difference = (&found - &expected).abs().max().double_value(&[]);
                    let largest = expected.abs().max().double_value(&[]);
                    assert!(difference < tolerance * largest, "{kernel}, {side}: {difference}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let (weight, bias) = (random(&[64, 64, 3, 3]), random(&[64]));
        for kind in [Kind::Float, Kind::BFloat16] {
            let values = (&weight.to_kind(kind), &bias);
            let convolution = WinogradConv::new(values, SIZE, 1, Activation::Relu);
            let Some(convolution) = convolution.expect("weights") else { return };
            let x = random(&[1, 64, 4, 4]).to_kind(kind) * f64::NAN;
            let y = convolution.run(&x).expect("output");
            assert!(y.isnan().all().int64_value(&[]) == 1);
            assert!(convolution.run(&random(&[1, 65, 4, 4])).is_err());
        }
    }

    #[test]
    fn it_is_left_where_there_is_nothing_to_gain() {
        let new_of = |kind, shape: [i64; 4], size| {
            let values = (&random(&shape).to_kind(kind), &random(&shape[..1]));
            WinogradConv::new(values, size, 1, Activation::None).expect("weights")
        };
        let new = |shape, size| new_of(Kind::Float, shape, size);
        for shape in [
            [192, 3, 5, 5],
            [64, 32, 3, 3],
            [4, 64, 3, 3],
            [192, 96, 7, 7],
            [192, 96, 1, 1],
            [1024, 384, 3, 3],
        ] {
            assert!(new(shape, SIZE).is_none(), "{shape:?}");
        }
        // 14 MB transformed, which nine tiles are not worth.
        assert!(new([384, 256, 3, 3], (12, 12)).is_none());
        // Half as much in 16 bits.
        let found = new_of(Kind::BFloat16, [384, 256, 3, 3], (12, 12));
        assert_eq!(found.is_some(), Fixed::detect().is_some());
        let found = new([384, 256, 3, 3], (16, 16));
        assert_eq!(found.is_some(), Available::detect().is_some());
    }
}
