//! The four presets against an independent PyTorch implementation.

use nin_serve::model::caffe;
use nin_serve::model::network::{Layout, Network, Precision};
use nin_serve::model::preset::Preset;
use nin_serve::model::scores::Scores;
use nin_serve::model::weights::Weights;
use nin_serve::model::{Classifier, ModelFolder, Pixels, Sample};
use serde::Deserialize;
use tch::Tensor;

/// `tests/fixtures/networks/<preset>.json`, made by `scripts/fixtures/torch_networks.py`.
#[derive(Deserialize)]
struct Expected {
    shape: Vec<i64>,
    parameters: u64,
    map: Vec<i64>,
    logits: Vec<Vec<f32>>,
    probabilities: Vec<Vec<f32>>,
}

const CLASSES: u32 = 10;

fn expected(preset: &str) -> Expected {
    let path = format!("{}/tests/fixtures/networks/{preset}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("fixture")).expect("valid fixture")
}

/// `values` of the script: uniform in ±scale/2 from splitmix64 of a counter.
fn generated(seed: u64, shape: &[i64], scale: f32) -> Tensor {
    let value = |counter: u64| {
        let mut z = (counter + (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 40) as f32 / (1u32 << 24) as f32 - 0.5) * scale
    };
    let values: Vec<f32> = (0..shape.iter().product::<i64>() as u64).map(value).collect();
    Tensor::from_slice(&values).view(shape)
}

fn weights(preset: Preset) -> Weights {
    let shapes = preset.architecture(CLASSES).convolutions(preset.input_size().channels);
    let mut seed = 0;
    let mut next = |shape: &[i64], fan_in: u32| {
        seed += 1;
        generated(seed, shape, (24.0 / fan_in as f32).sqrt())
    };
    let pair = |shape: &nin_serve::model::architecture::ConvShape| {
        let weight = shape.weight().map(|side| side as i64);
        let fan_in = shape.channels * shape.kernel * shape.kernel;
        (next(&weight, fan_in), next(&weight[..1], 24))
    };
    Weights { convolutions: shapes.iter().map(pair).collect() }
}

/// Width and height.
fn size(preset: Preset) -> (u32, u32) {
    (preset.input_size().width, preset.input_size().height)
}

fn scores(preset: Preset, layout: Layout, expected: &Expected) -> Scores {
    let (architecture, weights) = (preset.architecture(CLASSES), weights(preset));
    let network =
        Network::laid_out(&architecture, &weights, size(preset), (Precision::F32, layout));
    let network = network.expect("network");
    network.forward(&generated(0, &expected.shape, 2.0)).expect("forward pass")
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[track_caller]
fn agrees_with_pytorch(preset: Preset, name: &str) {
    let expected = expected(name);
    let channels = preset.input_size().channels;
    assert_eq!(preset.architecture(CLASSES).parameters(channels), expected.parameters);
    for layout in [Layout::Planar, Layout::ChannelsLast, Layout::Fused, Layout::Served] {
        let scores = scores(preset, layout, &expected);
        assert_eq!(scores.maps.size()[2..], expected.map);
        let logits = largest_difference(&scores.logits, &expected.logits.concat());
        let probabilities =
            largest_difference(&scores.probabilities, &expected.probabilities.concat());
        assert!(logits <= 1e-5, "{layout:?}: logits differ by {logits}");
        assert!(probabilities <= 1e-5, "{layout:?}: probabilities differ by {probabilities}");
    }
}

#[test]
fn nin_outline_agrees_with_pytorch() {
    agrees_with_pytorch(Preset::NinOutline, "nin-outline");
}

#[test]
fn nin_28_agrees_with_pytorch() {
    agrees_with_pytorch(Preset::Nin28, "nin-28");
}

#[test]
fn nin_cifar_agrees_with_pytorch() {
    agrees_with_pytorch(Preset::NinCifar, "nin-cifar");
}

#[test]
fn nin_imagenet_agrees_with_pytorch() {
    agrees_with_pytorch(Preset::NinImagenet, "nin-imagenet");
}

#[test]
fn nin_28_takes_its_softmax_at_every_position() {
    use nin_serve::model::architecture::Head;
    let expected = expected("nin-28");
    let mut architecture = Preset::Nin28.architecture(CLASSES);
    architecture.head = Head::PoolThenSoftmax;
    let weights = weights(Preset::Nin28);
    let network = Network::new(&architecture, &weights, size(Preset::Nin28), Precision::F32);
    let network = network.expect("network");
    let pooled_first = network.forward(&generated(0, &expected.shape, 2.0)).expect("forward pass");
    let difference =
        largest_difference(&pooled_first.probabilities, &expected.probabilities.concat());
    assert!(difference > 1e-3, "pooling first must give another answer, not one {difference} off");
}

/// Runs where `NIN_CAFFEMODEL` names the authors' `cifar10_nin.caffemodel`, which is not ours to
/// ship; the numbers expected of it come from `scripts/fixtures/torch_caffe.py`.
#[test]
fn the_authors_caffe_file_agrees_with_pytorch() {
    let Some(path) = std::env::var_os("NIN_CAFFEMODEL") else {
        eprintln!("skipped: NIN_CAFFEMODEL does not name cifar10_nin.caffemodel");
        return;
    };
    let expected = expected("caffe-cifar10");
    let architecture = Preset::NinCifar.architecture(CLASSES);
    let bytes = std::fs::read(path).expect("readable");
    let weights = caffe::read(&bytes, &architecture.convolutions(3)).expect("a NiN for CIFAR-10");
    assert_eq!(weights.convolutions.len(), 9);
    let network = Network::new(&architecture, &weights, size(Preset::NinCifar), Precision::F32);
    let network = network.expect("network");
    let scores = network.forward(&generated(0, &expected.shape, 4.0)).expect("forward pass");
    let difference = largest_difference(&scores.logits, &expected.logits.concat());
    assert!(difference <= 1e-4, "logits differ by {difference}");
}

#[test]
fn a_batch_in_parts_answers_as_its_pictures_do_alone() {
    let (architecture, weights) =
        (Preset::NinCifar.architecture(CLASSES), weights(Preset::NinCifar));
    let input = generated(1, &[37, 3, 32, 32], 2.0);
    let pictures: Vec<_> = (0..37).map(|place| input.narrow(0, place, 1)).collect();
    // Rounding of bf16 depends on the kernel, which depends on the size of the batch.
    for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 0.02)] {
        if !precision.is_native() {
            continue;
        }
        let network = Network::new(&architecture, &weights, size(Preset::NinCifar), precision);
        let network = network.expect("network");
        tch::set_num_threads(3);
        let together = network.forward(&input).expect("forward pass");
        assert_eq!(tch::get_num_threads(), 3);
        let alone = pictures.iter().map(|picture| network.forward(picture).expect("forward pass"));
        let alone: Vec<_> = alone.flat_map(|scores| scores.probabilities).collect();
        let difference = largest_difference(&together.probabilities, &alone);
        assert!(difference <= tolerance, "{precision}: {difference}");
        assert_eq!(together.maps.size()[..2], [37, 10]);
        assert_eq!(together.logits.len(), 37 * 10);
    }
}

#[test]
fn a_batch_that_is_filled_up_answers_for_its_own_pictures() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models/nin-mnist");
    let folder = ModelFolder::load(models.as_ref()).expect("a shipped model");
    let classifier = Classifier::new(&folder, Precision::F32).expect("a network");
    let bytes = |grey: u8| Pixels::Bytes(vec![grey; 28 * 28]);
    let floats = Pixels::Floats(vec![0.5; 28 * 28]);
    for pixels in [[bytes(0), bytes(90), bytes(255)], [bytes(90), floats, bytes(255)]] {
        let samples = pixels.map(|pixels| Sample { pixels, maps: false });
        let filled_up = classifier.infer_as(4, &samples).expect("answers");
        assert_eq!(filled_up.len(), 3);
        for (sample, found) in samples.into_iter().zip(filled_up) {
            let alone = classifier.infer(&[sample]).expect("an answer").remove(0);
            for (found, alone) in found.probabilities.iter().zip(alone.probabilities) {
                assert!((found - alone).abs() < 1e-4, "{found} {alone}");
            }
        }
    }
}
