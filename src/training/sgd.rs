//! Stochastic gradient descent with Nesterov momentum, and the one-cycle schedule.
//!
//! tch's own optimisers keep their momentum to themselves, so a run could not be resumed exactly.

use std::f64::consts::PI;
use tch::{TchError, Tensor};

/// Momentum buffers for the parameters of one network, in their order.
#[derive(Debug)]
pub struct Sgd {
    pub momentum: f64,
    /// Applied to weights; biases and normalisation are left alone.
    pub weight_decay: f64,
    pub buffers: Vec<Tensor>,
}

impl Sgd {
    pub fn new(
        parameters: &[(String, &Tensor)],
        momentum: f64,
        weight_decay: f64,
    ) -> Result<Self, TchError> {
        let buffers = parameters.iter().map(|(_, tensor)| tensor.f_detach()?.f_zeros_like());
        Ok(Self { momentum, weight_decay, buffers: buffers.collect::<Result<_, _>>()? })
    }

    /// One step down the gradients that `backward` has left, which are then cleared.
    pub fn step(&mut self, parameters: &[(String, &Tensor)], rate: f64) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        for ((name, parameter), buffer) in parameters.iter().zip(&mut self.buffers) {
            let mut gradient = parameter.f_grad()?;
            if name.ends_with(".weight") {
                gradient = gradient.f_add(&parameter.f_mul_scalar(self.weight_decay)?)?;
            }
            let _ = buffer.f_mul_scalar_(self.momentum)?.f_add_(&gradient)?;
            let update = gradient.f_add(&buffer.f_mul_scalar(self.momentum)?)?;
            let _ = parameter.shallow_clone().f_sub_(&update.f_mul_scalar(rate)?)?;
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
    fn the_rate_climbs_to_its_peak_and_falls_to_almost_nothing() {
        let schedule = OneCycle { peak: 0.4, warm_up: 0.25 };
        assert!(schedule.rate(0.0) < 0.02);
        assert!((schedule.rate(0.25) - 0.4).abs() < 1e-9);
        assert!(schedule.rate(0.6) < schedule.rate(0.3));
        assert!(schedule.rate(1.0) < 0.001);
    }
}
