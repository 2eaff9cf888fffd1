//! The trainable network and the loop, without the command.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nin_serve::model::architecture::{Architecture, Head, Layer, Pool};
use nin_serve::model::network::{Network, Precision};
use nin_serve::preprocess::{Channels, InputSpec};
use nin_serve::training::listing::Listing;
use nin_serve::training::net::{Mode, Normalisation, TrainableNet};
use nin_serve::training::pictures::Pictures;
use nin_serve::training::recipe::Recipe;
use nin_serve::training::report::Report;
use nin_serve::training::run::{Data, Outcome, Run};
use nin_serve::training::whiten::whiten;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

fn architecture() -> Architecture {
    let conv = |filters, kernel| Layer::Conv { filters, kernel, stride: 1, padding: kernel / 2 };
    let pool = Layer::MaxPool(Pool { kernel: 3, stride: 2 });
    let layers = vec![
        conv(8, 5),
        Layer::Relu,
        conv(8, 1),
        Layer::Relu,
        pool,
        conv(12, 3),
        Layer::Relu,
        conv(3, 1),
    ];
    Architecture { layers, head: Head::PoolThenSoftmax }
}

fn net(precision: Precision) -> TrainableNet {
    tch::manual_seed(5);
    TrainableNet::new(architecture(), 3, Normalisation::Batch, precision).expect("a network")
}

fn noise(count: i64) -> Tensor {
    Tensor::randn([count, 3, 16, 16], (Kind::Float, Device::Cpu)) * 2.0 + 0.5
}

/// Mean of the correlations between the answers of the first convolution's filters, 0 to 1.
fn mean_correlation(net: &TrainableNet, input: &Tensor) -> f64 {
    let weight = net.first_weight().expect("a convolution");
    let answers = input.conv2d(&weight, None::<&Tensor>, 1, 0, 1, 1);
    let filters = answers.size()[1];
    let rows = answers.permute([1, 0, 2, 3]).reshape([filters, -1]);
    let between = rows.corrcoef().abs().sum(Kind::Float).double_value(&[]) - filters as f64;
    between / (filters * (filters - 1)) as f64
}

#[test]
fn whitened_filters_say_different_things_about_smooth_grey_pictures() {
    let net = net(Precision::F32);
    let grey = noise(64).narrow(1, 0, 1).expand([64, 3, 16, 16], false);
    let smooth = grey.avg_pool2d(5, 1, 0, false, true, None::<i64>);
    let before = mean_correlation(&net, &smooth);
    whiten(&net, &smooth).expect("whitened");
    let after = mean_correlation(&net, &smooth);
    assert!(after < before / 2.0, "{before} -> {after}");
}

#[test]
fn folding_batch_normalisation_changes_nothing() {
    let net = net(Precision::F32);
    for _ in 0..20 {
        let _ = net.forward(&noise(16), Mode::Train).expect("forward pass");
    }
    let input = noise(4);
    let unfolded = net.forward(&input, Mode::Infer).expect("forward pass");
    let folded = net.fold().expect("folded");
    let folded = Network::new(net.architecture(), &folded, (16, 16), Precision::F32);
    let folded = folded.expect("a network");
    let folded = folded.forward(&input).expect("forward pass").maps;
    let difference = (&folded - &unfolded).abs().max().double_value(&[]);
    assert!(difference < 1e-4, "{difference}");
    assert!(unfolded.abs().max().double_value(&[]) > 0.1, "the maps must not be all but empty");
}

#[test]
fn measured_norms_are_those_of_the_pictures_at_hand() {
    let net = net(Precision::F32);
    for _ in 0..20 {
        let _ = net.forward(&noise(16), Mode::Train).expect("forward pass");
    }
    let others = noise(32) * 3.0 + 1.0;
    net.measure_norms(&others).expect("measured");
    // In training each batch is normalised by what it is itself.
    let own = net.forward(&others, Mode::Train).expect("forward pass");
    net.measure_norms(&others).expect("measured");
    let measured = net.forward(&others, Mode::Infer).expect("forward pass");
    let difference = (&own - &measured).abs().max().double_value(&[]);
    assert!(difference < 1e-2 * own.abs().max().double_value(&[]), "{difference}");
}

#[test]
fn a_network_started_from_served_weights_answers_as_they_do() {
    let net = net(Precision::F32);
    for _ in 0..20 {
        let _ = net.forward(&noise(16), Mode::Train).expect("forward pass");
    }
    let served = net.fold().expect("folded");
    let input = noise(64);
    let expected = net.forward(&input, Mode::Infer).expect("forward pass");
    for normalisation in [Normalisation::Batch, Normalisation::Plain] {
        tch::manual_seed(6);
        let other = TrainableNet::new(architecture(), 3, normalisation, Precision::F32);
        let other = other.expect("a network");
        other.start_from(&served, &input).expect("started");
        // In training batch normalisation uses what it measures on the batch itself.
        for mode in [Mode::Infer, Mode::Train] {
            let maps = other.forward(&input, mode).expect("forward pass");
            let difference = (&maps - &expected).abs().max().double_value(&[]);
            assert!(difference < 1e-3, "{normalisation:?} {mode:?}: {difference}");
        }
    }
    assert!(expected.abs().max().double_value(&[]) > 0.1, "the maps must not be all but empty");
}

fn data() -> Data {
    let pictures = super::pictures(12);
    let spec = InputSpec::plain(32, 32, Channels::Colour);
    let listing = Listing::read(pictures.path(), 0.25, 1).expect("a listing");
    let load = |items| {
        let (pictures, unreadable) = Pictures::load(items, &spec);
        assert!(unreadable.is_empty());
        pictures
    };
    Data { train: load(&listing.train), held_out: load(&listing.held_out) }
}

fn recipe() -> Recipe {
    let defaults = Recipe::defaults(None, 32, 3);
    Recipe { epochs: 6, batch_size: 9, peak_rate: 0.05, averaging: 0.9, dropout: 0.5, ..defaults }
}

fn run<'a>(data: &'a Data, folder: &Path) -> Run<'a> {
    Run::new(net(Precision::F32), recipe(), data, folder).expect("a run")
}

/// Weights and losses at the end of a run.
fn outcome(run: &Run<'_>) -> (Vec<Tensor>, Vec<f64>) {
    let weights = run.net().fold().expect("folded").convolutions;
    let losses = run.history().iter().map(|record| record.train_loss).collect();
    (weights.into_iter().map(|(weight, _)| weight).collect(), losses)
}

#[test]
fn a_resumed_run_ends_as_an_unbroken_one() {
    let data = data();
    let folders = [(); 2].map(|()| TempDir::new().expect("a temporary folder"));
    let report = Report::new(6);
    let go = AtomicBool::new(false);
    let mut unbroken = run(&data, folders[0].path());
    assert_eq!(unbroken.train(&go, &report).expect("trained"), Outcome::Finished);

    // Stopped after ever longer times, wherever that is, and taken up again by a fresh process'
    // worth of state.
    let mut pause = Duration::from_millis(20);
    let mut broken = run(&data, folders[1].path());
    let mut stops = 0;
    loop {
        let stop = Arc::new(AtomicBool::new(false));
        let timer = Arc::clone(&stop);
        let timer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            timer.store(true, Ordering::Relaxed);
        });
        let outcome = broken.train(&stop, &report).expect("trained");
        timer.join().expect("the timer ends");
        if outcome == Outcome::Finished {
            break;
        }
        stops += 1;
        pause *= 2;
        broken = run(&data, folders[1].path());
        assert!(broken.resume().expect("resumed"), "there is a checkpoint");
    }
    let ((weights, losses), (other_weights, other_losses)) = (outcome(&unbroken), outcome(&broken));
    assert!(stops > 0, "the run was never stopped");
    for (loss, other) in losses.iter().zip(&other_losses) {
        assert!((loss - other).abs() < 1e-5, "{losses:?} {other_losses:?}");
    }
    for (weight, other) in weights.iter().zip(&other_weights) {
        assert!((weight - other).abs().max().double_value(&[]) < 1e-4);
    }
    assert!(losses.last() < losses.first(), "{losses:?}");
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_begins_anew() {
    let data = data();
    let folder = TempDir::new().expect("a temporary folder");
    let mut run = run(&data, folder.path());
    assert!(!run.resume().expect("nothing to resume"));
    assert!(run.history().is_empty());
}

#[test]
fn a_checkpoint_of_other_settings_is_refused() {
    let data = data();
    let folder = TempDir::new().expect("a temporary folder");
    let stop = AtomicBool::new(true);
    let outcome = run(&data, folder.path()).train(&stop, &Report::new(6)).expect("stopped");
    assert_eq!(outcome, Outcome::Interrupted);
    let recipe = Recipe { peak_rate: 0.5, ..recipe() };
    let mut other = Run::new(net(Precision::F32), recipe, &data, folder.path()).expect("a run");
    let error = other.resume().expect_err("other settings").to_string();
    assert!(error.contains("other settings"), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_with_advice() {
    let data = data();
    let folder = TempDir::new().expect("a temporary folder");
    let recipe = Recipe { peak_rate: f64::INFINITY, ..recipe() };
    let mut run = Run::new(net(Precision::F32), recipe, &data, folder.path()).expect("a run");
    let error = run.train(&AtomicBool::new(false), &Report::new(6)).expect_err("no finite loss");
    assert!(error.to_string().contains("--peak-rate"), "{error}");
}
