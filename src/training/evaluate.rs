//! Measures a model on held-out pictures, by the very pipeline that serves.

use super::listing::Item;
use super::pictures::{Pictures, Unreadable};
use crate::model::{Classifier, Pixels, Sample};
use crate::preprocess::InputSpec;
use serde::Serialize;
use std::time::Instant;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    pub labels: Vec<String>,
    pub pictures: u64,
    /// Files that could not be read as pictures; they count for nothing.
    pub unreadable: u64,
    /// Share of pictures whose best class is right, 0 to 1.
    pub top1: f64,
    /// Share of pictures whose class is among the best five, 0 to 1.
    pub top5: f64,
    /// `[true class][answered class]`, pictures.
    pub confusion: Vec<Vec<u64>>,
    pub per_class: Vec<ClassScore>,
    /// Expected calibration error (Guo et al. 2017), 15 bins, 0 to 1.
    pub calibration_error: f64,
    pub calibration: Vec<CalibrationBin>,
    /// Decoding, resizing and forward pass together.
    pub pictures_per_second: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct ClassScore {
    pub label: String,
    /// Of the pictures answered with this class, the share that are of it. 0 where there are none.
    pub precision: f64,
    /// Of the pictures of this class, the share that were answered with it.
    pub recall: f64,
}

/// Pictures whose best probability lies in one of 15 equal intervals.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct CalibrationBin {
    pub pictures: u64,
    /// Mean of the best probability.
    pub confidence: f64,
    /// Share that is right.
    pub accuracy: f64,
}

const BINS: usize = 15;
const BATCH: usize = 64;
/// Pictures decoded at once; bounds memory.
const CHUNK: usize = 1024;

/// Runs `classifier` over `items`. `labels` are in the order of its outputs.
pub fn evaluate(
    classifier: &Classifier,
    spec: &InputSpec,
    labels: &[String],
    items: &[Item],
) -> anyhow::Result<(Evaluation, Vec<Unreadable>)> {
    let started = Instant::now();
    let mut tally = Tally::new(labels.len());
    let mut unreadable = Vec::new();
    for chunk in items.chunks(CHUNK) {
        let (pictures, mut failed) = Pictures::load(chunk, spec);
        unreadable.append(&mut failed);
        let indices: Vec<usize> = (0..pictures.len()).collect();
        for batch in indices.chunks(BATCH) {
            let sample = |&index: &usize| Sample {
                pixels: Pixels::Bytes(pictures.get(index).to_vec()),
                maps: false,
            };
            let predictions = classifier.infer(&batch.iter().map(sample).collect::<Vec<_>>())?;
            for (&index, prediction) in batch.iter().zip(&predictions) {
                tally.add(pictures.classes[index], &prediction.probabilities);
            }
        }
    }
    anyhow::ensure!(tally.pictures > 0, "none of the {} files is a readable picture", items.len());
    let seconds = started.elapsed().as_secs_f64();
    let mut evaluation = tally.finish(labels);
    evaluation.unreadable = unreadable.len() as u64;
    evaluation.pictures_per_second = evaluation.pictures as f64 / seconds;
    Ok((evaluation, unreadable))
}

impl Evaluation {
    /// A few lines for people.
    pub fn summary(&self) -> String {
        let percent = |share: f64| 100.0 * share;
        let mut text = format!(
            "top-1 {:.2} %  top-5 {:.2} %  of {} pictures\n\
             expected calibration error {:.2} %\n{:.0} pictures/s\n\n{:>24}  precision  recall\n",
            percent(self.top1),
            percent(self.top5),
            self.pictures,
            percent(self.calibration_error),
            self.pictures_per_second,
            "class",
        );
        for score in &self.per_class {
            let (precision, recall) = (percent(score.precision), percent(score.recall));
            text += &format!("{:>24}  {precision:7.2} %  {recall:5.2} %\n", score.label);
        }
        text
    }
}

/// Counts as the answers come in.
struct Tally {
    pictures: u64,
    top5: u64,
    confusion: Vec<Vec<u64>>,
    /// Pictures, sum of confidences, pictures that are right.
    bins: [(u64, f64, u64); BINS],
}

impl Tally {
    fn new(classes: usize) -> Self {
        let confusion = vec![vec![0; classes]; classes];
        Self { pictures: 0, top5: 0, confusion, bins: [(0, 0.0, 0); BINS] }
    }

    fn add(&mut self, class: usize, probabilities: &[f32]) {
        let own = probabilities[class];
        let ahead = probabilities.iter().filter(|&&other| other > own).count();
        let mut best = 0;
        for (index, probability) in probabilities.iter().enumerate() {
            if *probability > probabilities[best] {
                best = index;
            }
        }
        let confidence = f64::from(probabilities[best]);
        let bin = &mut self.bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        self.pictures += 1;
        self.top5 += u64::from(ahead < 5);
        self.confusion[class][best] += 1;
        bin.0 += 1;
        bin.1 += confidence;
        bin.2 += u64::from(best == class);
    }

    fn finish(self, labels: &[String]) -> Evaluation {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let right: u64 = (0..labels.len()).map(|class| self.confusion[class][class]).sum();
        let per_class = labels.iter().enumerate().map(|(class, label)| {
            let answered = self.confusion.iter().map(|row| row[class]).sum();
            let own = self.confusion[class][class];
            let recall = share(own, self.confusion[class].iter().sum());
            ClassScore { label: label.clone(), precision: share(own, answered), recall }
        });
        let calibration: Vec<_> = self
            .bins
            .iter()
            .map(|&(pictures, confidence, right)| CalibrationBin {
                pictures,
                confidence: confidence / pictures.max(1) as f64,
                accuracy: share(right, pictures),
            })
            .collect();
        let gap = |bin: &CalibrationBin| {
            share(bin.pictures, self.pictures) * (bin.confidence - bin.accuracy).abs()
        };
        Evaluation {
            labels: labels.to_vec(),
            pictures: self.pictures,
            unreadable: 0,
            top1: share(right, self.pictures),
            top5: share(self.top5, self.pictures),
            per_class: per_class.collect(),
            calibration_error: calibration.iter().map(gap).sum(),
            calibration,
            confusion: self.confusion,
            pictures_per_second: 0.0,
        }
    }
}
