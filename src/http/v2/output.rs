//! The outputs of a request: which, in which form, and what the network said.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use super::error::TensorError;
use super::input::clipped;
use super::tensor::{Tensor, Values};
use crate::model::Prediction;
use crate::service::ranking;

pub(crate) const PROBABILITIES: &str = "probabilities";
pub(crate) const LABELS: &str = "labels";
pub(crate) const LOGITS: &str = "logits";

/// An output that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    name: &'static str,
    /// As so many best classes, `value:index:label`.
    classification: Option<NonZeroUsize>,
}

impl Wanted {
    pub(crate) fn new(name: &str, classification: Option<usize>) -> Result<Self, TensorError> {
        let name = [PROBABILITIES, LABELS, LOGITS]
            .into_iter()
            .find(|known| *known == name)
            .ok_or_else(|| TensorError::UnknownOutput(clipped(name)))?;
        // Zero is what clients send that do not want it.
        let classification = classification.and_then(NonZeroUsize::new);
        if name == LABELS && classification.is_some() {
            return Err(TensorError::LabelsClassified);
        }
        Ok(Self { name, classification })
    }

    /// What is answered to those who ask for nothing in particular.
    pub(crate) fn default() -> [Self; 2] {
        [PROBABILITIES, LABELS].map(|name| Self { name, classification: None })
    }

    /// Whether no output is wanted twice.
    pub(crate) fn check_unique(all: &[Self]) -> Result<(), TensorError> {
        let twice = |(index, wanted): (usize, &Self)| {
            all[..index].iter().any(|before| before.name == wanted.name).then_some(wanted.name)
        };
        all.iter()
            .enumerate()
            .find_map(twice)
            .map_or(Ok(()), |name| Err(TensorError::OutputTwice(name)))
    }

    /// `top_k` bounds the labels of each picture.
    pub(crate) fn tensor<'a>(
        &self,
        labels: &'a [String],
        predictions: &[Prediction],
        top_k: Option<NonZeroUsize>,
    ) -> Tensor<'a> {
        let scores = |prediction: &'_ Prediction| match self.name {
            LOGITS => prediction.logits.clone(),
            _ => prediction.probabilities.clone(),
        };
        let values = if self.name == LABELS {
            let best = |prediction: &Prediction| ranking(&prediction.probabilities, top_k);
            let best = predictions.iter().flat_map(best);
            Values::Texts(best.map(|(class, _)| Cow::from(&labels[class])).collect())
        } else if self.classification.is_some() {
            let best = |prediction: &Prediction| ranking(&scores(prediction), self.classification);
            let best = predictions.iter().flat_map(best);
            let text =
                |(class, value): (usize, f32)| format!("{value:.6}:{class}:{}", labels[class]);
            Values::Texts(best.map(text).map(Cow::from).collect())
        } else {
            Values::Floats(predictions.iter().flat_map(scores).collect())
        };
        let best = if self.name == LABELS { top_k } else { self.classification };
        let columns = best.map_or(labels.len(), |best| best.get().min(labels.len()));
        Tensor { name: self.name, shape: [predictions.len(), columns], values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, classification: usize, top_k: usize) -> Tensor<'static> {
        let labels = Vec::leak(["cat", "dog", "a:b"].map(str::to_owned).to_vec());
        let prediction = |probabilities: [f32; 3]| Prediction {
            logits: probabilities.map(f32::ln).to_vec(),
            probabilities: probabilities.to_vec(),
            maps: None,
        };
        let predictions = [prediction([0.2, 0.5, 0.3]), prediction([0.25, 0.25, 0.5])];
        let wanted = Wanted::new(name, Some(classification)).expect("known");
        wanted.tensor(labels, &predictions, NonZeroUsize::new(top_k))
    }

    fn texts(tensor: Tensor<'static>) -> Vec<String> {
        let Values::Texts(texts) = tensor.values else { panic!("{tensor:?}") };
        texts.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn probabilities_keep_the_order_of_the_classes() {
        let tensor = tensor("probabilities", 0, 1);
        assert_eq!(tensor.shape, [2, 3]);
        assert_eq!(tensor.values, Values::Floats(vec![0.2, 0.5, 0.3, 0.25, 0.25, 0.5]));
    }

    #[test]
    fn labels_come_best_first() {
        let all = tensor("labels", 0, 0);
        assert_eq!(all.shape, [2, 3]);
        assert_eq!(texts(all), ["dog", "a:b", "cat", "a:b", "cat", "dog"]);
        let best = tensor("labels", 0, 1);
        assert_eq!(best.shape, [2, 1]);
        assert_eq!(texts(best), ["dog", "a:b"]);
    }

    #[test]
    fn classification_is_value_index_label() {
        let two = tensor("probabilities", 2, 0);
        assert_eq!(two.shape, [2, 2]);
        let expected = ["0.500000:1:dog", "0.300000:2:a:b", "0.500000:2:a:b", "0.250000:0:cat"];
        assert_eq!(texts(two), expected);
        assert_eq!(tensor("logits", 9, 0).shape, [2, 3]);
        assert!(texts(tensor("logits", 1, 0))[0].starts_with("-0.693147:1:"));
    }

    #[test]
    fn outputs_that_make_no_sense_are_refused() {
        let error = |name, classes| Wanted::new(name, classes).expect_err("refused");
        assert_eq!(error("scores", None), TensorError::UnknownOutput("scores".to_owned()));
        assert_eq!(error("labels", Some(1)), TensorError::LabelsClassified);
        let [first, second] = Wanted::default();
        assert!(Wanted::check_unique(&[first, second]).is_ok());
        let twice = Wanted::check_unique(&[first, second, first]);
        assert_eq!(twice, Err(TensorError::OutputTwice("probabilities")));
    }
}
