//! A network that can learn: f32 master weights, optional batch normalisation, dropout, bf16.

use super::convolution::{After, Convolution, Geometry};
use super::winograd::Winograd;
use crate::model::architecture::{Architecture, ConvShape, Head, Layer};
use crate::model::network::Precision;
use crate::model::pooling::{average_pool, max_pool};
use crate::model::weights::Weights;
use tch::{Kind, TchError, Tensor};

/// See [`TrainableNet::log_scores`].
const VOTE_SHARPNESS: f64 = 20.0;

/// Whether dropout drops and batch normalisation measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Train,
    Infer,
}

/// What a trainable network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalisation {
    Plain,
    /// After every convolution but the last; [`TrainableNet::fold`] takes it out again.
    Batch,
}

/// An architecture with weights that learn.
#[derive(Debug)]
pub struct TrainableNet {
    architecture: Architecture,
    convolutions: Vec<Convolution>,
    winograd: Winograd,
    precision: Precision,
}

impl TrainableNet {
    /// Fresh weights (He et al. 2015, fan-in), drawn from libtorch's generator.
    pub fn new(
        architecture: Architecture,
        channels: u32,
        normalisation: Normalisation,
        precision: Precision,
    ) -> Result<Self, TchError> {
        let shapes = architecture.convolutions(channels);
        let last = shapes.len().saturating_sub(1);
        let make = |(index, shape): (usize, &ConvShape)| {
            Convolution::new(shape, normalisation == Normalisation::Batch && index < last)
        };
        let convolutions = shapes.iter().enumerate().map(make).collect::<Result<_, _>>()?;
        Ok(Self { architecture, convolutions, winograd: Winograd::new()?, precision })
    }

    /// Class maps `[N, K, h, w]`, f32, of an input `[N, C, H, W]`.
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let kind = self.precision.kind();
        let convolve = |convolution: &Convolution, x: &Tensor, geometry: Geometry| {
            convolution.run(x, geometry, (kind, mode), &self.winograd)
        };
        self.pass(&input.f_to_kind(kind)?, mode, convolve)?.f_to_kind(Kind::Float)
    }

    /// Takes over the weights of a served network of the same layers, so that this one answers as
    /// it does. Batch normalisation, folded away there, is measured anew on `input`,
    /// `[N, C, H, W]`. The last convolution stays fresh where `weights` are of other classes.
    pub fn start_from(&self, weights: &Weights, input: &Tensor) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let mut given = weights.convolutions.iter();
        let convolve = |convolution: &Convolution, x: &Tensor, geometry: Geometry| {
            if let Some(pair) = given.next().filter(|(w, _)| w.size() == convolution.weight.size())
            {
                convolution.adopt(pair, x, geometry)?;
            }
            convolution.run(x, geometry, (Kind::Float, Mode::Infer), &self.winograd)
        };
        self.pass(input, Mode::Infer, convolve).map(drop)
    }

    /// Measures batch normalisation on `input`, `[N, C, H, W]`, with nothing dropped. What training
    /// leaves are means over batches with dropout, of which later layers see another variance than
    /// without it (Li et al. 2018, arXiv:1801.05134), and over crops of another size.
    pub fn measure_norms(&self, input: &Tensor) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let convolve = |convolution: &Convolution, x: &Tensor, geometry: Geometry| {
            if let After::Norm(norm) = &convolution.after {
                norm.measure(&convolution.bare(x, geometry)?)?;
            }
            convolution.run(x, geometry, (Kind::Float, Mode::Infer), &self.winograd)
        };
        self.pass(input, Mode::Infer, convolve).map(drop)
    }

    /// All layers in order, the convolutions by `convolve`.
    fn pass(
        &self,
        input: &Tensor,
        mode: Mode,
        mut convolve: impl FnMut(&Convolution, &Tensor, Geometry) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let mut convolutions = self.convolutions.iter();
        let mut x = input.shallow_clone();
        for layer in &self.architecture.layers {
            x = match *layer {
                Layer::Conv { stride, padding, .. } => {
                    let convolution = convolutions.next().expect("one for each Conv layer");
                    convolve(convolution, &x, [stride, padding].map(i64::from))?
                }
                // In place: no convolution or pool needs its own output to learn.
                Layer::Relu => x.f_relu_()?,
                Layer::MaxPool(pool) => max_pool(&x, pool)?,
                Layer::AveragePool(pool) => average_pool(&x, pool)?,
                Layer::Dropout { .. } if mode == Mode::Infer => x,
                Layer::Dropout { rate: 0.0 } => x,
                Layer::Dropout { rate } => x.f_dropout(rate, true)?,
            };
        }
        Ok(x)
    }

    /// What the loss is taken of, `[N, K]`, from class maps `[N, K, h, w]`: logarithms that sum to
    /// one when raised. For softmax after pooling they are those of the served probabilities.
    ///
    /// Where positions vote, they are the softmax of the mean votes times [`VOTE_SHARPNESS`]. The
    /// cross-entropy of the mean itself would ask an answer of every position, also of those that
    /// see nothing but ground; this way a position without evidence may abstain by voting evenly,
    /// and only the order of the classes counts.
    pub fn log_scores(&self, maps: &Tensor) -> Result<Tensor, TchError> {
        let positions = [2i64, 3];
        let scores = match self.architecture.head {
            Head::PoolThenSoftmax => maps.f_mean_dim(positions.as_slice(), false, Kind::Float)?,
            Head::SoftmaxThenPool => maps
                .f_softmax(1, Kind::Float)?
                .f_mean_dim(positions.as_slice(), false, Kind::Float)?
                .f_mul_scalar(VOTE_SHARPNESS)?,
        };
        scores.f_log_softmax(1, Kind::Float)
    }

    /// What the optimiser changes: name and tensor, in a fixed order.
    pub fn parameters(&self) -> Vec<(String, &Tensor)> {
        let named = self.convolutions.iter().enumerate().flat_map(|(index, convolution)| {
            let name = |part: &str| format!("conv{}.{part}", index + 1);
            let mut tensors = vec![(name("weight"), &convolution.weight)];
            match &convolution.after {
                After::Bias(bias) => tensors.push((name("bias"), bias)),
                After::Norm(norm) => {
                    tensors.extend([(name("gain"), &norm.gain), (name("offset"), &norm.offset)]);
                }
            }
            tensors
        });
        named.collect()
    }

    /// The weight of the first convolution, `[filters, channels, kernel, kernel]`.
    pub fn first_weight(&self) -> Option<Tensor> {
        self.convolutions.first().map(|convolution| convolution.weight.shallow_clone())
    }

    /// What batch normalisation has measured: name and tensor.
    pub fn statistics(&self) -> Vec<(String, &Tensor)> {
        let named = self.convolutions.iter().enumerate().filter_map(|(index, convolution)| {
            let After::Norm(norm) = &convolution.after else { return None };
            let name = |part: &str| format!("conv{}.{part}", index + 1);
            Some([(name("mean"), &norm.mean), (name("variance"), &norm.variance)])
        });
        named.flatten().collect()
    }

    /// The weights of the served network, batch normalisation folded into the convolutions.
    pub fn fold(&self) -> Result<Weights, TchError> {
        let _guard = tch::no_grad_guard();
        let folded = self.convolutions.iter().map(Convolution::fold).collect::<Result<_, _>>()?;
        Ok(Weights { convolutions: folded })
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }
}
