//! The options of `nin-serve train` that say what pictures look like and how to learn from them.

use crate::model::Preset;
use crate::preprocess::{Channels, Framing, InputSpec, Polarity, Resize};
use crate::training::augment::Augment;
use crate::training::recipe::Recipe;

/// How pictures are shown to the network
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Side of the square input in pixels [default: the preset's]
    #[arg(long)]
    side: Option<u32>,
    /// 1 for grey, 3 for colour [default: the preset's]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    channels: Option<u8>,
    #[arg(long, value_enum, default_value = "squash")]
    resize: Resize,
    #[arg(long, value_enum, default_value = "keep")]
    polarity: Polarity,
    #[arg(long, value_enum, default_value = "whole")]
    framing: Framing,
}

/// Changes to the preset's recipe
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recipe")]
pub struct RecipeArgs {
    #[arg(long)]
    epochs: Option<usize>,
    #[arg(long)]
    batch_size: Option<usize>,
    /// Highest learning rate of the one-cycle schedule
    #[arg(long)]
    peak_rate: Option<f64>,
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Export a moving average of the weights, of which each step leaves this share in place
    #[arg(long)]
    averaging: Option<f64>,
    #[arg(long)]
    label_smoothing: Option<f64>,
    /// Normalise batches in training; folded into the convolutions at export
    #[arg(long)]
    batch_norm: Option<bool>,
    /// Draw the first convolution's filters for patches of the training pictures, whitened
    #[arg(long)]
    whiten: Option<bool>,
    /// Rate of the dropout layers, 0 to 1
    #[arg(long)]
    dropout: Option<f64>,
    /// Mirror pictures at random
    #[arg(long)]
    flip: Option<bool>,
    /// Largest random change of brightness, contrast and saturation, 0 to 1
    #[arg(long)]
    jitter: Option<f32>,
    /// Side of a grey square over a random part of each training picture, as a share of its side
    #[arg(long)]
    cutout: Option<f32>,
    /// Side of the random crops that training sees
    #[arg(long)]
    train_side: Option<u32>,
    /// The same for the last quarter of the run
    #[arg(long)]
    final_side: Option<u32>,
    #[arg(long)]
    seed: Option<u64>,
}

impl InputArgs {
    /// The input contract, without the statistics that are measured later.
    pub fn spec(&self, preset: Option<Preset>) -> InputSpec {
        let size = preset.unwrap_or(Preset::NinCifar).input_size();
        let side = self.side.unwrap_or(size.width);
        let channels = self.channels.unwrap_or(size.channels as u8);
        let channels = if channels == 1 { Channels::Grey } else { Channels::Colour };
        InputSpec {
            resize: self.resize,
            polarity: self.polarity,
            framing: self.framing,
            ..InputSpec::plain(side, side, channels)
        }
    }
}

impl RecipeArgs {
    pub fn recipe(&self, preset: Option<Preset>, input: &InputSpec) -> Recipe {
        let defaults = Recipe::defaults(preset, input.width, input.channels.count() as u32);
        Recipe {
            epochs: self.epochs.unwrap_or(defaults.epochs),
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            peak_rate: self.peak_rate.unwrap_or(defaults.peak_rate),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            averaging: self.averaging.unwrap_or(defaults.averaging),
            label_smoothing: self.label_smoothing.unwrap_or(defaults.label_smoothing),
            batch_norm: self.batch_norm.unwrap_or(defaults.batch_norm),
            whiten: self.whiten.unwrap_or(defaults.whiten),
            dropout: self.dropout.unwrap_or(defaults.dropout),
            augment: Augment {
                crop: defaults.augment.crop,
                flip: self.flip.unwrap_or(defaults.augment.flip),
                jitter: self.jitter.unwrap_or(defaults.augment.jitter),
                cutout: self.cutout.unwrap_or(defaults.augment.cutout),
            },
            train_side: self.train_side.unwrap_or(defaults.train_side),
            final_side: self.final_side.unwrap_or(defaults.final_side),
            seed: self.seed.unwrap_or(defaults.seed),
        }
    }
}
