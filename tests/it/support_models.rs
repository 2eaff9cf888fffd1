//! Model folders with made-up weights.

use std::path::Path;

use nin_serve::model::architecture::ConvShape;
use nin_serve::model::folder::{LABELS, MANIFEST, WEIGHTS, digest};
use nin_serve::model::golden::{Golden, picture, tolerance};
use nin_serve::model::manifest::{ArchitectureSpec, Manifest, WeightsSpec};
use nin_serve::model::weights::{Storage, Weights};
use nin_serve::model::{Classifier, ModelFolder, Pixels, Precision, Preset, Sample};
use nin_serve::preprocess::{
    ChannelOrder, Channels, Filter, Framing, InputSpec, Polarity, Resize,
};
use tch::{Kind, Tensor};

const CLASSES: u32 = 10;

/// Writes the folder `models/<name>` with a network of that preset. The weights are the same at
/// each call; the golden answer is what the network says of its golden picture.
pub fn write(models: &Path, name: &str, preset: Preset) {
    let architecture = preset.architecture(CLASSES);
    let input = input_of(preset);
    let shapes = architecture.convolutions(input.channels.count() as u32);
    let convolutions = shapes.iter().map(made_up).collect();
    let weights = Weights { convolutions }.write(Storage::F32).expect("finite weights");
    let mut folder = ModelFolder {
        name: name.to_owned(),
        manifest: Manifest {
            description: "Made-up weights".to_owned(),
            classes: CLASSES,
            architecture: ArchitectureSpec::of_preset(preset),
            input,
            weights: WeightsSpec { sha256: digest(&weights) },
            accuracy: None,
            golden: Golden { tolerance: tolerance(), probabilities: vec![0.1; CLASSES as usize] },
        },
        architecture,
        labels: (0..CLASSES).map(|class| format!("class-{class}")).collect(),
        weights,
    };
    folder.manifest.golden.probabilities = golden_answer(&folder);
    let path = models.join(name);
    std::fs::create_dir_all(&path).expect("a new folder");
    let manifest = toml::to_string(&folder.manifest).expect("a manifest in TOML");
    for (file, content) in [
        (MANIFEST, manifest.as_bytes()),
        (WEIGHTS, &folder.weights),
        (LABELS, folder.labels.join("\n").as_bytes()),
    ] {
        std::fs::write(path.join(file), content).expect("a written file");
    }
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
fn made_up(shape: &ConvShape) -> (Tensor, Tensor) {
    let weight = shape.weight().map(|side| side as i64);
    let fan_in = (weight[1] * weight[2] * weight[3]) as f64;
    let noise = Tensor::arange(weight.iter().product::<i64>(), (Kind::Float, tch::Device::Cpu));
    let noise = ((noise * 12.9898).sin() * 43.75).sin();
    let weight = (noise * (4.0 / fan_in).sqrt()).reshape(weight);
    (weight, Tensor::zeros([i64::from(shape.filters)], (Kind::Float, tch::Device::Cpu)))
}

fn golden_answer(folder: &ModelFolder) -> Vec<f32> {
    let classifier = Classifier::new(folder, Precision::F32).expect("a network");
    let pixels = Pixels::Bytes(picture(&folder.manifest.input));
    let predictions = classifier.infer(&[Sample { pixels, maps: false }]).expect("an answer");
    predictions[0].probabilities.clone()
}
