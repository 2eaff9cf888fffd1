//! Runs an input through the same service as every other request.

use std::time::Duration;

use futures_util::future::join_all;

use super::input::{Input, InputError};
use crate::batching::BudgetExceeded;
use crate::http::Api;
use crate::http::classify::Admitted;
use crate::http::context::RequestContext;
use crate::http::problem::Problem;
use crate::model::Prediction;
use crate::service::{Picture, ServiceError, Timings};

/// What came of one picture.
struct Outcome {
    prediction: Prediction,
    timings: Timings,
    batch_size: usize,
}

/// The predictions in the order of the input, with the longest times; the first picture that
/// can't be classified is the error.
pub(crate) async fn run(
    api: &Api,
    context: &RequestContext,
    admitted: &Admitted,
    input: Input,
) -> Result<(Vec<Prediction>, Timings), Problem> {
    context.record(|work| work.pictures = input.len());
    let outcomes = outcomes(api, admitted, input).await;
    let mut predictions = Vec::with_capacity(outcomes.len());
    let mut timings = Timings::default();
    let mut batch_size = 0;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let outcome =
            outcome.map_err(|error| Problem::from(error).of(format_args!("picture {index}")))?;
        let longest = |mine: &mut Duration, other| *mine = (*mine).max(other);
        longest(&mut timings.decode, outcome.timings.decode);
        longest(&mut timings.queue, outcome.timings.queue);
        longest(&mut timings.inference, outcome.timings.inference);
        batch_size = batch_size.max(outcome.batch_size);
        predictions.push(outcome.prediction);
    }
    context.record(|work| {
        work.batch_size = Some(batch_size);
        work.timings = Some(timings);
    });
    Ok((predictions, timings))
}

async fn outcomes(
    api: &Api,
    Admitted { ticket, model }: &Admitted,
    input: Input,
) -> Vec<Result<Outcome, ServiceError>> {
    match input {
        Input::Pictures(pictures) => {
            let pictures = pictures.into_iter().map(|bytes| Picture { bytes, maps: false });
            let classified = api.service.classify_all(ticket, model, pictures.collect()).await;
            let outcome = |found: crate::service::Classification| Outcome {
                prediction: found.prediction,
                timings: found.timings,
                batch_size: found.batch_size,
            };
            classified.into_iter().map(|found| found.map(outcome)).collect()
        }
        Input::Samples(samples) => {
            let one = async |(sample, permit)| {
                let reply = api.service.infer(ticket, model, sample, permit).await?;
                let timings = Timings {
                    decode: Duration::ZERO,
                    queue: reply.queue,
                    inference: reply.inference,
                };
                let (prediction, batch_size) = (reply.output, reply.batch_size);
                Ok(Outcome { prediction, timings, batch_size })
            };
            join_all(samples.into_iter().map(one)).await
        }
    }
}

impl InputError {
    /// `admitted` knows when to come again if memory is short.
    pub(crate) fn problem(self, api: &Api, admitted: &Admitted) -> Problem {
        match self {
            Self::Tensor(error) => error.into(),
            Self::Memory(BudgetExceeded::NeverFits { bytes, .. }) => {
                ServiceError::TooMuchMemory { bytes }.into()
            }
            Self::Memory(BudgetExceeded::Full { .. }) => {
                let retry_after = api.service.retry_after(&admitted.model);
                ServiceError::Overloaded { retry_after }.into()
            }
        }
    }
}
