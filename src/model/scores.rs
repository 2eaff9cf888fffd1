//! What the head makes of class maps.

use super::architecture::Head;
use super::simd::floats;
use tch::{Kind, TchError, Tensor};

/// Of a batch of N pictures and K classes.
#[derive(Debug)]
pub struct Scores {
    /// `[N, K]`. For [`Head::SoftmaxThenPool`] the logarithm of the probabilities, since the mean of
    /// distributions has no other logits.
    pub logits: Vec<f32>,
    /// `[N, K]`, each row sums to 1.
    pub probabilities: Vec<f32>,
    /// Class confidence maps `[N, K, h, w]`, f32. Their mean over `h × w` is the logit, or for
    /// [`Head::SoftmaxThenPool`] the probability.
    pub maps: Tensor,
}

impl Scores {
    /// Reads logits and probabilities from class maps `[N, K, h, w]` in f32 (any strides;
    /// channels-last is fastest).
    pub fn read(maps: &Tensor, head: Head) -> Result<Self, TchError> {
        match head {
            Head::PoolThenSoftmax => {
                let logits = means(maps)?;
                let classes = logits.len() / maps.size4()?.0.max(1) as usize;
                let probabilities = logits.chunks(classes.max(1)).flat_map(softmax).collect();
                let logits = logits.into_iter().map(|mean| mean as f32).collect();
                Ok(Self { logits, probabilities, maps: maps.shallow_clone() })
            }
            Head::SoftmaxThenPool => {
                let maps = maps.f_softmax(1, Kind::Float)?;
                let means = means(&maps)?;
                let logits = means.iter().map(|mean| mean.ln() as f32).collect();
                let probabilities = means.into_iter().map(|mean| mean as f32).collect();
                Ok(Self { logits, probabilities, maps })
            }
        }
    }

    /// Those of all parts of a batch, in their order.
    pub(super) fn joined(parts: Vec<Self>) -> Result<Self, TchError> {
        let (mut logits, mut probabilities, mut maps) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            logits.extend(part.logits);
            probabilities.extend(part.probabilities);
            maps.push(part.maps);
        }
        Ok(Self { logits, probabilities, maps: Tensor::f_cat(&maps, 0)? })
    }
}

/// `[N, K]`, over the positions of maps `[N, K, h, w]`.
fn means(maps: &Tensor) -> Result<Vec<f64>, TchError> {
    let (pictures, classes, height, width) = maps.size4()?;
    let [classes, positions] = [classes, height * width].map(|n| n as usize);
    let maps = maps.f_permute([0, 2, 3, 1])?.f_contiguous()?;
    let mut means = vec![0.0; pictures as usize * classes];
    let pictures = floats(&maps)?.chunks(positions * classes);
    for (means, picture) in means.chunks_mut(classes).zip(pictures) {
        for position in picture.chunks(classes) {
            means.iter_mut().zip(position).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        means.iter_mut().for_each(|sum| *sum /= positions as f64);
    }
    Ok(means)
}

/// Of one picture's logits.
fn softmax(logits: &[f64]) -> Vec<f32> {
    // Nothing overflows when the largest is 0.
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<_> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn scores_are_those_of_libtorch() {
        tch::manual_seed(1);
        let maps = Tensor::randn([3, 10, 5, 7], (Kind::Float, Device::Cpu)) * 20.0;
        let of_both = |scores: &Scores, logits: Tensor, probabilities: Tensor| {
            for (found, expected) in
                [(&scores.logits, logits), (&scores.probabilities, probabilities)]
            {
                let expected = Vec::<f32>::try_from(expected.flatten(0, 1)).expect("values");
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found}");
                }
            }
        };
        let mean = |maps: &Tensor| maps.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        let logits = mean(&maps);
        let scores = Scores::read(&maps, Head::PoolThenSoftmax).expect("scores");
        of_both(&scores, logits.copy(), logits.softmax(1, Kind::Float));
        let scores = Scores::read(&maps, Head::SoftmaxThenPool).expect("scores");
        let probabilities = mean(&maps.softmax(1, Kind::Float));
        of_both(&scores, probabilities.log(), probabilities.copy());
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for value in [f64::NAN, f64::INFINITY] {
            let maps = Tensor::full([1, 3, 2, 2], value, (Kind::Float, Device::Cpu));
            let scores = Scores::read(&maps, Head::PoolThenSoftmax).expect("scores");
            assert!(scores.logits.iter().all(|logit| !logit.is_finite()));
            assert!(scores.probabilities.iter().all(|probability| probability.is_nan()));
        }
    }
}
