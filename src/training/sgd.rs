//! Stochastic gradient descent with Nesterov momentum, averaged weights, and the one-cycle schedule.
//!
//! tch's own optimisers keep their momentum to themselves, so a run could not be resumed exactly.

use std::f64::consts::PI;
use tch::{TchError, Tensor};

/// What is set of the optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    pub momentum: f64,
    /// Applied to weights; biases and normalisation are left alone.
    pub weight_decay: f64,
    /// Share of the average that a step leaves in place, 0 to 1. At 0 the average is the weights.
    pub averaging: f64,
}

/// Momentum buffers and averages for the parameters of one network, in their order.
#[derive(Debug)]
pub struct Sgd {
    settings: Settings,
    pub buffers: Vec<Tensor>,
    /// Exponential moving average over the steps (Polyak & Juditsky 1992): it lies nearer the
    /// middle of where the steps wander than any one of them.
    pub averages: Vec<Tensor>,
}

impl Sgd {
    pub fn new(parameters: &[(String, &Tensor)], settings: Settings) -> Result<Self, TchError> {
        let buffers = parameters.iter().map(|(_, tensor)| tensor.f_detach()?.f_zeros_like());
        let buffers = buffers.collect::<Result<_, _>>()?;
        let mut sgd = Self { settings, buffers, averages: Vec::new() };
        sgd.start_average(parameters)?;
        Ok(sgd)
    }

    /// Begins the average anew, at these parameters.
    pub fn start_average(&mut self, parameters: &[(String, &Tensor)]) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let copies = parameters.iter().map(|(_, tensor)| tensor.f_detach_copy());
        self.averages = copies.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Puts the average in the place of the parameters.
    pub fn take_average(&self, parameters: &[(String, &Tensor)]) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        for ((_, parameter), average) in parameters.iter().zip(&self.averages) {
            parameter.shallow_clone().f_copy_(average)?;
        }
        Ok(())
    }

    /// One step down the gradients that `backward` has left, which are then cleared.
    pub fn step(&mut self, parameters: &[(String, &Tensor)], rate: f64) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let Settings { momentum, weight_decay, averaging } = self.settings;
        let kept = self.buffers.iter_mut().zip(&mut self.averages);
        for ((name, parameter), (buffer, average)) in parameters.iter().zip(kept) {
            let mut gradient = parameter.f_grad()?;
            if name.ends_with(".weight") {
                gradient = gradient.f_add(&parameter.f_mul_scalar(weight_decay)?)?;
            }
            let _ = buffer.f_mul_scalar_(momentum)?.f_add_(&gradient)?;
            let update = gradient.f_add(&buffer.f_mul_scalar(momentum)?)?;
            let _ = parameter.shallow_clone().f_sub_(&update.f_mul_scalar(rate)?)?;
            let _ = average.f_lerp_(parameter, 1.0 - averaging)?;
            let _ = parameter.f_grad()?.f_zero_()?;
        }
        Ok(())
    }
}

/// One cycle (Smith & Topin 2017): the learning rate climbs for `warm_up` of the run, then falls
/// along a cosine to a thousandth of the peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    pub peak: f64,
    /// Share of the run, 0 to 1.
    pub warm_up: f64,
}

impl OneCycle {
    /// The learning rate at `progress` of the run, 0 to 1.
    pub fn rate(&self, progress: f64) -> f64 {
        if progress < self.warm_up {
            return self.peak * (0.04 + 0.96 * progress / self.warm_up);
        }
        let fall = ((progress - self.warm_up) / (1.0 - self.warm_up)).min(1.0);
        self.peak * (0.001 + 0.999 * (1.0 + (PI * fall).cos()) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_lags_behind_the_steps() {
        let weight = Tensor::f_from_slice(&[8f32]).expect("a tensor").set_requires_grad(true);
        let parameters = [("conv1.weight".to_owned(), &weight)];
        let settings = Settings { momentum: 0.0, weight_decay: 0.0, averaging: 0.75 };
        let mut sgd = Sgd::new(&parameters, settings).expect("an optimiser");
        // The gradient of w²/2 is w: half of the weight is gone after each step, 8, 4, 2.
        for _ in 0..2 {
            (&weight * &weight / 2.0).sum(tch::Kind::Float).backward();
            sgd.step(&parameters, 0.5).expect("a step");
        }
        assert!((weight.double_value(&[0]) - 2.0).abs() < 1e-6);
        sgd.take_average(&parameters).expect("the average");
        // 8, then 0.75 × 8 + 0.25 × 4 = 7, then 0.75 × 7 + 0.25 × 2 = 5.75.
        assert!((weight.double_value(&[0]) - 5.75).abs() < 1e-6);
    }

    #[test]
    fn the_rate_climbs_to_its_peak_and_falls_to_almost_nothing() {
        let schedule = OneCycle { peak: 0.4, warm_up: 0.25 };
        assert!(schedule.rate(0.0) < 0.02);
        assert!((schedule.rate(0.25) - 0.4).abs() < 1e-9);
        assert!(schedule.rate(0.6) < schedule.rate(0.3));
        assert!(schedule.rate(1.0) < 0.001);
    }
}
