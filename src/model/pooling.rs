//! Pooling, in ceil mode: windows that reach over the edge are taken as far as they go.

use super::architecture::Pool;
use tch::{TchError, Tensor};

pub(crate) fn max_pool(x: &Tensor, Pool { kernel, stride }: Pool) -> Result<Tensor, TchError> {
    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
    x.f_max_pool2d([kernel; 2], [stride; 2], [0; 2], [1; 2], true)
}

pub(crate) fn average_pool(x: &Tensor, Pool { kernel, stride }: Pool) -> Result<Tensor, TchError> {
    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
    x.f_avg_pool2d([kernel; 2], [stride; 2], [0; 2], true, true, None)
}
