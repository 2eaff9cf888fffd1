//! Whether the fast paths answer as the plain one: JPEGs shrunk by their frequencies, packed weights, Winograd's
//! algorithm and bf16 beside all pixels and plain f32.

use super::listing::Item;
use crate::model::{Classifier, Pixels, Sample};
use crate::preprocess::{Header, InputSpec, PictureError, Prepared, prepare, prepare_in_full};
use rayon::prelude::*;
use serde::Serialize;

/// Both answers to the same pictures.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Agreement {
    pub pictures: u64,
    /// Share of pictures whose best class is the same, 0 to 1.
    pub same: f64,
    /// Share of pictures whose best class is right, 0 to 1, on the fast path and on the plain one.
    pub fast_top1: f64,
    pub plain_top1: f64,
}

const BATCH: usize = 64;
/// Training data is trusted more than uploads, but a header may still lie.
const MAX_PIXELS: u64 = 100_000_000;

/// Runs `fast` on pictures decoded as served, and `plain` on pictures decoded in full. Files that
/// can't be read are left out.
pub fn agreement(
    (fast, plain): (&Classifier, &Classifier),
    spec: &InputSpec,
    items: &[Item],
) -> anyhow::Result<Agreement> {
    let [mut pictures, mut same, mut fast_right, mut plain_right] = [0u64; 4];
    for items in items.chunks(BATCH) {
        let decoded: Vec<_> =
            items.par_iter().filter_map(|item| Some((item.class, both(item, spec)?))).collect();
        let (classes, both): (Vec<_>, Vec<_>) = decoded.into_iter().unzip();
        let (served, whole): (Vec<_>, Vec<_>) = both.into_iter().unzip();
        if classes.is_empty() {
            continue;
        }
        let (fast, plain) = (fast.infer(&served)?, plain.infer(&whole)?);
        for ((class, fast), plain) in classes.iter().zip(&fast).zip(&plain) {
            let (fast, plain) = (best(&fast.probabilities), best(&plain.probabilities));
            pictures += 1;
            same += u64::from(fast == plain);
            fast_right += u64::from(fast == *class);
            plain_right += u64::from(plain == *class);
        }
    }
    anyhow::ensure!(pictures > 0, "none of the {} files is a readable picture", items.len());
    let [same, fast_top1, plain_top1] =
        [same, fast_right, plain_right].map(|part| part as f64 / pictures as f64);
    Ok(Agreement { pictures, same, fast_top1, plain_top1 })
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [same, fast, plain] =
            [self.same, self.fast_top1, self.plain_top1].map(|share| 100.0 * share);
        let pictures = self.pictures;
        write!(
            f,
            "agrees with f32 and full decoding on {same:.2} % of {pictures} pictures; \
             top-1 {fast:.2} % against {plain:.2} %"
        )
    }
}

/// The picture decoded as served, and in full.
fn both(item: &Item, spec: &InputSpec) -> Option<(Sample, Sample)> {
    let bytes = std::fs::read(&item.path).ok()?;
    let header = Header::read(&bytes, MAX_PIXELS).ok()?;
    let sample = |prepared: Result<Prepared, PictureError>| {
        Some(Sample { pixels: Pixels::Bytes(prepared.ok()?.pixels), maps: false })
    };
    let served = sample(prepare(&bytes, &header, spec))?;
    Some((served, sample(prepare_in_full(&bytes, &header, spec))?))
}

/// The first of the largest.
fn best(probabilities: &[f32]) -> usize {
    let mut best = 0;
    for (index, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = index;
        }
    }
    best
}
