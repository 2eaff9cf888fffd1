//! The way of a picture: decoded, queued, run through the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;

use super::decode::Queued;
use super::pool::{Begun, DecodeLoad, Done};
use super::{Classification, Picture, ServedModel, Service, ServiceError, Ticket, Timings, stages};
use crate::batching::{Answer, BytesPermit, Job, Reply, SubmitError, answered};
use crate::model::{Prediction, Sample};

impl Service {
    /// Classifies one picture. Dropping the future withdraws it.
    pub async fn classify(
        &self,
        ticket: &Ticket,
        model: &Arc<ServedModel>,
        picture: Picture,
    ) -> Result<Classification, ServiceError> {
        let work = self.run(ticket, model, picture, ());
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
        let decoders = &Arc::new(Semaphore::new(self.config.decode_threads.get()));
        let one = async |picture| {
            let turn = Arc::clone(decoders).acquire_owned().await;
            self.run(ticket, model, picture, turn).await
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

    /// Decodes a picture and has its network run it; lets go of `turn` in between.
    async fn run(
        &self,
        ticket: &Ticket,
        model: &Arc<ServedModel>,
        picture: Picture,
        turn: impl Send + 'static,
    ) -> Result<Classification, ServiceError> {
        let (answer, reply) = oneshot::channel();
        let queued = Instant::now();
        let decoding = self.decode(ticket.deadline(), model, picture, (turn, answer))?;
        // The request wakes up once: with the answer, or since there will be none. What came of the
        // picture is there by then.
        let reply = timeout_at(ticket.deadline(), reply).await;
        let Done { value, waited, ran } = decoding.done().await?;
        let begun = queued + waited;
        let took = value.as_ref().map_or(ran, |picture| picture.at.duration_since(begun));
        stages::of_decoding(ticket, begun, (took, &value));
        let Queued { header, region, warnings, at, place } = value?;
        let reply = match (place, reply) {
            (Err(refusal), _) => Err(refusal),
            (Ok(_), Ok(reply)) => answered(reply),
            (Ok(place), Err(_)) => {
                place.expire();
                Err(SubmitError::DeadlineExceeded)
            }
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

    /// Has a picture decoded and queued for its network, on a decoding thread; or where the network
    /// runs, if nobody else is there and it takes but a moment: then no thread has to wake another.
    fn decode(
        &self,
        deadline: tokio::time::Instant,
        model: &Arc<ServedModel>,
        picture: Picture,
        (turn, answer): (impl Send + 'static, oneshot::Sender<Answer<Prediction>>),
    ) -> Result<Begun<Result<Queued, ServiceError>>, ServiceError> {
        let decoder = self.decoder(model);
        let is_alone = self.gate.in_flight() == 1
            && self.pool.load() == DecodeLoad::default()
            && model.batcher.is_idle()
            && decoder.is_quick(&picture);
        let job = move || {
            let queued = decoder.queue(&picture, deadline, answer);
            drop(turn);
            queued
        };
        if is_alone {
            self.pool.begin_by(|work| model.batcher.run_beside(work), deadline, job)
        } else {
            self.pool.begin(deadline, job)
        }
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
