//! What a person sees of a run: a progress bar on a terminal, plain lines elsewhere.

use super::checkpoint::{EpochRecord, Sums};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

#[derive(Debug)]
pub struct Report {
    bar: ProgressBar,
    epochs: usize,
}

impl Report {
    /// For a run of `epochs`, on the standard error stream.
    pub fn new(epochs: usize) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0).with_style(style())
        } else {
            ProgressBar::hidden()
        };
        Self { bar, epochs }
    }

    pub fn start_epoch(&self, epoch: usize, steps: u64, done: u64) {
        self.bar.reset();
        self.bar.set_length(steps);
        self.bar.set_position(done);
        self.bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.epochs));
    }

    pub fn step(&self, sums: &Sums) {
        let pictures = sums.pictures.max(1) as f64;
        let (loss, accuracy) = (sums.loss / pictures, sums.correct as f64 / pictures);
        let speed = self.bar.per_sec() * pictures / self.bar.position().max(1) as f64;
        self.bar.set_message(format!(
            "loss {loss:.4}  accuracy {:.1} %  {speed:.0} pictures/s",
            accuracy * 100.0
        ));
        self.bar.inc(1);
    }

    pub fn finish_epoch(&self, record: &EpochRecord) {
        let line = format!(
            "epoch {}/{}  loss {:.4}  accuracy {:.2} %  held out: loss {:.4}  accuracy {:.2} %  {:.0} pictures/s",
            record.epoch,
            self.epochs,
            record.train_loss,
            record.train_accuracy * 100.0,
            record.held_out_loss,
            record.held_out_accuracy * 100.0,
            record.pictures_per_second,
        );
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}  {wide_bar}  {pos}/{len}  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
