//! From the bytes of a picture to the queue of its network; runs on a decoding thread, or where the
//! network does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;
use tokio::sync::oneshot;

use super::{Picture, ServedModel, ServiceError};
use crate::batching::{Answer, BudgetExceeded, BytesPermit, Job, MemoryBudget, Place, SubmitError};
use crate::model::{Pixels, Prediction, Sample};
use crate::preprocess::{Header, Prepared, Region, Warning, prepare, view};

/// Bytes for each pixel of a view: three of its own, a number that is painted, and the file that is
/// made of it, which may be as large.
const VIEW_BYTES: u64 = 3 + 4 + 3;

/// Bytes of a file, and of its pixels, that are decoded in some milliseconds.
const QUICK_FILE: usize = 256 << 10;
const QUICK_PIXELS: u64 = 4 << 20;

pub(super) struct Decoder {
    pub(super) model: Arc<ServedModel>,
    pub(super) budget: MemoryBudget,
    pub(super) max_pixels: u64,
    /// What to say when there is no memory.
    pub(super) retry_after: Duration,
}

/// A picture that waits for its network.
pub(super) struct Queued {
    pub(super) header: Header,
    pub(super) region: Region,
    pub(super) warnings: Vec<Warning>,
    /// Since when.
    pub(super) at: Instant,
    pub(super) place: Result<Place<Sample, Prediction>, SubmitError>,
}

/// A picture ready for its network.
struct Decoded {
    header: Header,
    region: Region,
    warnings: Vec<Warning>,
    sample: Sample,
    /// The memory that the sample takes.
    permit: BytesPermit,
}

impl Decoder {
    /// Decodes a picture and hands it to its network, from the thread that this runs on: the request
    /// need not wake up for it. Nobody answers if it fails.
    pub(super) fn queue(
        &self,
        picture: &Picture,
        deadline: tokio::time::Instant,
        answer: oneshot::Sender<Answer<Prediction>>,
    ) -> Result<Queued, ServiceError> {
        let Decoded { header, region, warnings, sample, permit } = self.decode(picture)?;
        let at = Instant::now();
        let job = Job { input: sample, deadline, permit };
        let place = self.model.batcher.enqueue(job, answer);
        Ok(Queued { header, region, warnings, at, place })
    }

    /// Whether to decode the picture takes some milliseconds at most. Looks at no more than the header,
    /// since it is asked on a thread that moves bytes.
    pub(super) fn is_quick(&self, picture: &Picture) -> bool {
        let header = || Header::read(&picture.bytes, self.max_pixels);
        picture.bytes.len() <= QUICK_FILE
            && header().is_ok_and(|header| header.decoded_bytes <= QUICK_PIXELS)
    }

    fn decode(&self, picture: &Picture) -> Result<Decoded, ServiceError> {
        let header = Header::read(&picture.bytes, self.max_pixels)?;
        let spec = &self.model.info.input;
        let sample_bytes = spec.bytes() as u64;
        let mut permit = self.acquire(header.decoded_bytes.saturating_add(sample_bytes))?;
        let Prepared { pixels, region, warnings } = prepare(&picture.bytes, &header, spec)?;
        permit.shrink_to(sample_bytes);
        let sample = Sample { pixels: Pixels::Bytes(pixels), maps: picture.maps };
        Ok(Decoded { header, region, warnings, sample, permit })
    }

    /// The picture as a person sees it, scaled to `size` (width, height), with the memory that it
    /// takes; `header` is that of `bytes`.
    pub(super) fn view(
        &self,
        bytes: &[u8],
        header: &Header,
        size: (u32, u32),
    ) -> Result<(RgbImage, BytesPermit), ServiceError> {
        let view_bytes = VIEW_BYTES * u64::from(size.0) * u64::from(size.1);
        let mut permit = self.acquire(header.decoded_bytes.saturating_add(view_bytes))?;
        let view = view(bytes, header, self.model.info.input.background, size)?;
        permit.shrink_to(view_bytes);
        Ok((view, permit))
    }

    fn acquire(&self, bytes: u64) -> Result<BytesPermit, ServiceError> {
        self.budget.try_acquire(bytes).map_err(|refusal| match refusal {
            BudgetExceeded::NeverFits { bytes, .. } => ServiceError::TooMuchMemory { bytes },
            BudgetExceeded::Full { .. } => {
                ServiceError::Overloaded { retry_after: self.retry_after }
            }
        })
    }
}
