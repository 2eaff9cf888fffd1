//! A first convolution that starts by seeing whitened patches.
//!
//! Neighbouring pixels say nearly the same, so the answers of randomly drawn filters do, too, and
//! the first epochs go into telling them apart. Filters drawn for patches whose values are
//! decorrelated and of even variance skip that (Page 2018, "How to train your ResNet"; Jordan 2024,
//! arXiv:2404.00498).

use super::net::TrainableNet;
use tch::{Kind, TchError, Tensor};

/// Added to every variance before it is evened out: directions that hold little but the noise of
/// JPEG are not blown up. Inputs are normalised, so the mean variance is 1.
const LEAST_VARIANCE: f64 = 0.01;

/// Multiplies the filters of the first convolution by C^(-1/2), C being the covariance of the
/// patches of `input`, `[N, C, H, W]`, normalised as in training.
pub fn whiten(net: &TrainableNet, input: &Tensor) -> Result<(), TchError> {
    let _guard = tch::no_grad_guard();
    let Some(mut weight) = net.first_weight() else { return Ok(()) };
    let shape = weight.size();
    let patches = patches(input, &shape[2..])?;
    let covariance = patches.f_cov(1, None::<&Tensor>, None::<&Tensor>)?;
    let (variances, directions) = covariance.f_linalg_eigh("L")?;
    let scales = variances.f_clamp_min(0.0)?.f_add_scalar(LEAST_VARIANCE)?.f_rsqrt()?;
    let inverse_root = directions.f_mul(&scales)?.f_matmul(&directions.f_tr()?)?;
    let filters = weight.f_reshape([shape[0], -1])?.f_matmul(&inverse_root)?;
    weight.f_copy_(&filters.f_view(shape.as_slice())?)
}

/// Every patch of the size of `kernel` as a column: `[C × kernel height × kernel width, patches]`.
fn patches(input: &Tensor, kernel: &[i64]) -> Result<Tensor, TchError> {
    let columns = input.f_im2col(kernel, [1, 1], [0, 0], [1, 1])?;
    let rows = columns.size()[1];
    columns.f_permute([1, 0, 2])?.f_reshape([rows, -1])?.f_to_kind(Kind::Float)
}
