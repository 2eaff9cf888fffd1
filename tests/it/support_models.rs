//! Model folders with made-up weights.

use std::path::Path;

use nin_serve::model::Preset;
use nin_serve::model::architecture::ConvShape;
use nin_serve::model::manifest::ArchitectureSpec;
use nin_serve::model::weights::{Storage, Weights};
use nin_serve::preprocess::{ChannelOrder, Channels, Filter, Framing, InputSpec, Polarity, Resize};
use nin_serve::training::export::{self, Draft};
use tch::{Device, Kind, Tensor};

const CLASSES: u32 = 10;

/// Writes the folder `models/<name>` with a network of that preset, the same at each call.
pub fn write(models: &Path, name: &str, preset: Preset) {
    write_other(models, name, (preset, 0));
}

/// As [`write`], with other weights for each `variant`.
pub fn write_other(models: &Path, name: &str, (preset, variant): (Preset, u8)) {
    let input = input_of(preset);
    let shapes = preset.architecture(CLASSES).convolutions(input.channels.count() as u32);
    let draft = Draft {
        description: "Made-up weights".to_owned(),
        architecture: ArchitectureSpec::of_preset(preset),
        input,
        labels: (0..CLASSES).map(|class| format!("class-{class}")).collect(),
        storage: Storage::F32,
    };
    let weights =
        Weights { convolutions: shapes.iter().map(|shape| made_up(shape, variant)).collect() };
    let folder = models.join(name);
    std::fs::create_dir_all(&folder).expect("a new folder");
    export::write(&folder, &draft, &weights).expect("a valid model");
}

fn input_of(preset: Preset) -> InputSpec {
    let size = preset.input_size();
    let channels = Channels::try_from(size.channels as u8).expect("1 or 3");
    InputSpec {
        width: size.width,
        height: size.height,
        channels,
        order: ChannelOrder::Rgb,
        resize: Resize::Squash,
        filter: Filter::Bilinear,
        background: [255; 3],
        polarity: Polarity::Keep,
        framing: Framing::Whole,
        scale: 1.0 / 255.0,
        mean: vec![0.5; channels.count()],
        std: vec![0.25; channels.count()],
    }
}

/// Weights without a pattern, scaled so that activations neither vanish nor explode.
fn made_up(shape: &ConvShape, variant: u8) -> (Tensor, Tensor) {
    let cpu = (Kind::Float, Device::Cpu);
    let weight = shape.weight().map(|side| side as i64);
    let fan_in: i64 = weight[1..].iter().product();
    let noise = Tensor::arange(weight.iter().product::<i64>(), cpu) + f64::from(variant);
    let noise = ((noise * 12.9898).sin() * 43.75).sin() * (4.0 / fan_in as f64).sqrt();
    (noise.reshape(weight), Tensor::zeros([weight[0]], cpu))
}
