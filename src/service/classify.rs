//! The way of a picture: decoded, queued, run through the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::decode::Queued;
use super::pool::Done;
use super::{Classification, Picture, ServedModel, Service, ServiceError, Ticket, Timings, stages};
use crate::batching::{BytesPermit, Job, Reply, SubmitError};
use crate::model::{Prediction, Sample};

impl Service {
    /// Classifies one picture. Dropping the future withdraws it.
    pub async fn classify(
        &self,
        ticket: &Ticket,
        model: &Arc<ServedModel>,
        picture: Picture,
    ) -> Result<Classification, ServiceError> {
        let work = async {
            let queued = self.decode(ticket, model, picture).await?;
            Self::answer(ticket, model, queued).await
        };
        self.observed(ticket, model, work).await
    }

    /// Classifies many pictures; the answers are in their order, and each stands for itself.
    ///
    /// No more of them are decoded at once than there are threads, so that one large request
    /// neither fills the decoding queue nor the memory.
    pub async fn classify_all(
        &self,
        ticket: &Ticket,
        model: &Arc<ServedModel>,
        pictures: Vec<Picture>,
    ) -> Vec<Result<Classification, ServiceError>> {
        let decoders = &Semaphore::new(self.config.decode_threads.get());
        let one = async |picture| {
            let turn = decoders.acquire().await;
            let queued = self.decode(ticket, model, picture).await?;
            drop(turn);
            Self::answer(ticket, model, queued).await
        };
        let one = |picture| self.observed(ticket, model, one(picture));
        join_all(pictures.into_iter().map(one)).await
    }

    async fn observed(
        &self,
        ticket: &Ticket,
        model: &ServedModel,
        work: impl Future<Output = Result<Classification, ServiceError>>,
    ) -> Result<Classification, ServiceError> {
        let outcome = work.await;
        let timings = outcome.as_ref().ok().map(|found| found.timings);
        model.statistics.ended(ticket.arrived().elapsed(), timings);
        self.observer.ended(&model.info.name, outcome.as_ref());
        outcome
    }

    /// Runs a sample that is ready for the network. `permit` is the memory that it takes.
    pub async fn infer(
        &self,
        ticket: &Ticket,
        model: &ServedModel,
        input: Sample,
        permit: BytesPermit,
    ) -> Result<Reply<Prediction>, ServiceError> {
        let queued = Instant::now();
        let reply = model.batcher.submit(Job { input, deadline: ticket.deadline(), permit }).await;
        stages::of_engine(ticket, queued, &reply);
        let outcome = checked(model, reply);
        let timings = outcome.as_ref().ok().map(|reply| Timings {
            decode: Duration::ZERO,
            queue: reply.queue,
            inference: reply.inference,
        });
        model.statistics.ended(ticket.arrived().elapsed(), timings);
        outcome
    }

    /// Decodes a picture and queues it for its network.
    async fn decode(
        &self,
        ticket: &Ticket,
        model: &Arc<ServedModel>,
        picture: Picture,
    ) -> Result<Done<Queued>, ServiceError> {
        let (decoder, deadline) = (self.decoder(model), ticket.deadline());
        let job = move || decoder.queue(&picture, deadline);
        let queued = Instant::now();
        let Done { value, waited, ran } = self.pool.run(deadline, job).await?;
        let begun = queued + waited;
        let took = value.as_ref().map_or(ran, |picture: &Queued| picture.at.duration_since(begun));
        stages::of_decoding(ticket, begun, (took, &value));
        Ok(Done { value: value?, waited, ran })
    }

    async fn answer(
        ticket: &Ticket,
        model: &ServedModel,
        Done { value: queued, waited, ran }: Done<Queued>,
    ) -> Result<Classification, ServiceError> {
        let Queued { header, region, warnings, at, pending } = queued;
        let reply = match pending {
            Ok(pending) => pending.answer().await,
            Err(refusal) => Err(refusal),
        };
        stages::of_engine(ticket, at, &reply);
        let reply = checked(model, reply)?;
        Ok(Classification {
            prediction: reply.output,
            header,
            region,
            warnings,
            timings: Timings {
                decode: ran,
                queue: waited + reply.queue,
                inference: reply.inference,
            },
            batch_size: reply.batch_size,
        })
    }
}

/// The reply, if it is what a network may say.
fn checked(
    model: &ServedModel,
    reply: Result<Reply<Prediction>, SubmitError>,
) -> Result<Reply<Prediction>, ServiceError> {
    let reply = reply?;
    let probabilities = &reply.output.probabilities;
    let finite = probabilities.iter().all(|probability| probability.is_finite());
    if probabilities.len() != model.info.labels.len() || !finite {
        tracing::error!(
            model = model.info.name,
            outputs = probabilities.len(),
            "the network's answer is not one finite probability per class"
        );
        return Err(ServiceError::InferenceFailed);
    }
    Ok(reply)
}
