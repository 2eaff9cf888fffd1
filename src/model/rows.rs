//! Convolution of few channels, with the rows of the kernel taken at once.
//!
//! oneDNN sums over the channels at one point of the kernel after the other; three channels are too
//! few to keep it busy. Here each input pixel is replaced by the `kernel` pixels to its right, so that
//! a convolution of `C` channels becomes one of `kernel · C` whose kernel is a column.

use tch::{TchError, Tensor};

/// Whether a convolution with `weight`, `[filters, channels, kernel, kernel]`, is faster this way.
/// With few filters gathering takes as long as it saves.
pub fn pays(weight: &[i64], stride: i64) -> bool {
    let &[filters, channels, kernel, _] = weight else { return false };
    stride == 1 && kernel > 1 && channels <= 4 && filters >= 128
}

/// `[filters, kernel * channels, kernel, 1]` of a weight `[filters, channels, kernel, kernel]`.
pub fn columns(weight: &Tensor) -> Result<Tensor, TchError> {
    let (filters, channels, kernel, _) = weight.size4()?;
    weight.f_permute([0, 3, 1, 2])?.f_reshape([filters, kernel * channels, kernel, 1])
}

/// Width and height of what [`gather`] makes of pictures of this `size`.
pub fn gathered((width, height): (u32, u32), [kernel, padding]: [i64; 2]) -> [i64; 2] {
    [i64::from(width) + 2 * padding - kernel + 1, i64::from(height) + 2 * padding]
}

/// `[N, kernel * C, H + 2 * padding, W + 2 * padding - kernel + 1]`, channels-last, of
/// `x`, `[N, C, H, W]`. To be convolved without padding.
pub fn gather(x: &Tensor, [kernel, padding]: [i64; 2]) -> Result<Tensor, TchError> {
    let sides = [0, 0, padding, padding, padding, padding];
    let rows = x.f_permute([0, 2, 3, 1])?.f_constant_pad_nd(sides)?.f_contiguous()?;
    let (pictures, height, width, channels) = rows.size4()?;
    let row = width * channels;
    // In memory the pixels to the right follow, so that they are only read again.
    let windows = rows.f_as_strided(
        [pictures, height, width - kernel + 1, kernel * channels],
        [height * row, row, channels, 1],
        None,
    )?;
    windows.f_contiguous()?.f_permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_column_over_gathered_rows_is_the_convolution() {
        tch::manual_seed(1);
        for (kernel, padding, (width, height)) in [(5, 2, (9, 8)), (3, 0, (7, 3)), (3, 3, (2, 4))] {
            let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let x = random(&[2, 3, i64::from(height), i64::from(width)]);
            let weight = random(&[4, 3, kernel, kernel]);
            let expected = x.conv2d(&weight, None::<&Tensor>, [1; 2], [padding; 2], [1; 2], 1);
            let rows = gather(&x, [kernel, padding]).expect("rows");
            let [across, down] = gathered((width, height), [kernel, padding]);
            assert_eq!(rows.size(), [2, 3 * kernel, down, across]);
            let columns = columns(&weight).expect("columns");
            let found = rows.conv2d(&columns, None::<&Tensor>, [1; 2], [0; 2], [1; 2], 1);
            assert_eq!(found.size(), expected.size());
            assert!((found - expected).abs().max().double_value(&[]) < 1e-4);
        }
    }

    #[test]
    fn it_is_left_where_there_is_nothing_to_gather() {
        assert!(pays(&[192, 3, 5, 5], 1));
        assert!(!pays(&[192, 3, 1, 1], 1));
        assert!(!pays(&[64, 1, 5, 5], 1));
        assert!(!pays(&[192, 3, 11, 11], 4));
        assert!(!pays(&[192, 96, 5, 5], 1));
    }
}
