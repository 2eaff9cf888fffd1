//! `nin-serve train`: a folder of pictures in, a model folder out.

use crate::model::manifest::ArchitectureSpec;
use crate::model::network::Precision;
use crate::model::weights::Storage;
use crate::model::{Classifier, ModelFolder, Preset};
use crate::preprocess::{Channels, Framing, InputSpec, Polarity, Resize};
use crate::training::augment::Augment;
use crate::training::evaluate::{Evaluation, evaluate};
use crate::training::export::{self, Draft};
use crate::training::listing::Listing;
use crate::training::net::{Normalisation, TrainableNet};
use crate::training::pictures::Pictures;
use crate::training::recipe::Recipe;
use crate::training::report::Report;
use crate::training::run::{Data, Outcome, Run};
use crate::training::{labels, plots};
use anyhow::{Context, ensure};
use clap::ValueEnum;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Train a network on a folder of pictures and write a model folder
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// A folder per class in `train/` and `val/` or `test/`, or a folder per class right below
    #[arg(long)]
    data: PathBuf,
    /// A preset (nin-outline, nin-28, nin-cifar, nin-imagenet) or the path of a model.toml
    #[arg(long, default_value = "nin-cifar")]
    architecture: String,
    /// The model folder to write; its name becomes the model's name
    #[arg(long)]
    out: PathBuf,
    /// One sentence about the model
    #[arg(long, default_value = "A Network-in-Network trained by nin-serve train.")]
    description: String,
    /// Names that people read: lines of "folder<TAB>label"
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Share of the pictures to hold out, where the data have no val/ or test/
    #[arg(long, default_value_t = 0.1)]
    holdout: f64,
    /// Fail on an unreadable picture, instead of leaving it out
    #[arg(long)]
    strict: bool,
    /// Continue the run from its last checkpoint
    #[arg(long)]
    resume: bool,
    /// Where checkpoint, metrics and plots go [default: runs/<name of --out>]
    #[arg(long)]
    run_dir: Option<PathBuf>,
    /// Threads to use [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Arithmetic of training; the master weights are f32 [default: bf16 where the CPU has it]
    #[arg(long, value_enum)]
    precision: Option<Precision>,
    /// Element type of the weights file
    #[arg(long, value_enum, default_value = "f32")]
    storage: Storage,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// How pictures are shown to the network
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Input")]
pub(super) struct InputArgs {
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
struct RecipeArgs {
    #[arg(long)]
    epochs: Option<usize>,
    #[arg(long)]
    batch_size: Option<usize>,
    /// Highest learning rate of the one-cycle schedule
    #[arg(long)]
    peak_rate: Option<f64>,
    #[arg(long)]
    weight_decay: Option<f64>,
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
    /// Side of the random crops that training sees
    #[arg(long)]
    train_side: Option<u32>,
    /// The same for the last quarter of the run
    #[arg(long)]
    final_side: Option<u32>,
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the command.
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    ensure!(threads > 0, "--threads must be at least 1");
    tch::set_num_threads(threads as i32);
    crate::memory::keep_freed_blocks();
    let spec = architecture_spec(&args.architecture)?;
    let input = args.input.spec(spec.preset);
    let recipe = args.recipe.recipe(spec.preset, &input);
    let listing = Listing::read(&args.data, args.holdout, recipe.seed)?;
    let labels = labels::for_folders(&listing.classes, args.labels.as_deref())?;
    let net = network(args, (&spec, &input, &recipe), labels.len() as u32)?;

    let data = load(&listing, &input, args.strict)?;
    let folder = args.run_dir.clone().unwrap_or_else(|| default_run_dir(&args.out));
    let report = Report::new(recipe.epochs);
    let mut run = Run::new(net, recipe, &data, &folder)?;
    if args.resume {
        run.resume()?;
    }
    let stop = stop_on_signal()?;
    if run.train(&stop, &report)? == Outcome::Interrupted {
        eprintln!("stopped; the same command with --resume continues");
        return Ok(());
    }
    plots::learning_curves(run.history(), &folder.join("learning-curves.svg"))?;
    let (mean, std) = data.train.channel_statistics();
    let draft = Draft {
        description: args.description.clone(),
        architecture: spec,
        input: InputSpec { mean, std, ..input },
        labels,
        storage: args.storage,
    };
    let model = export::write(&args.out, &draft, &run.net().fold()?)?;
    let evaluation = measure(&model, &listing, &folder)?;
    export::record_accuracy(&args.out, &evaluation, &args.data_name())?;
    export::write_card(&args.out, &evaluation, &command_line())?;
    println!("{}\nwrote {}", evaluation.summary(), args.out.display());
    Ok(())
}

pub(super) fn architecture_spec(name: &str) -> anyhow::Result<ArchitectureSpec> {
    if let Ok(preset) = Preset::from_str(name, false) {
        return Ok(ArchitectureSpec::of_preset(preset));
    }
    let text = std::fs::read_to_string(name).with_context(|| {
        format!("--architecture {name}: neither a preset (nin-outline, nin-28, nin-cifar, nin-imagenet) nor a readable file")
    })?;
    // Only the one table is read, so a file may hold nothing else, or be a whole model.toml.
    #[derive(serde::Deserialize)]
    struct File {
        architecture: ArchitectureSpec,
    }
    let file: File = toml::from_str(&text).with_context(|| name.to_owned())?;
    Ok(file.architecture)
}

/// A fresh network, after checking that every size it will see is legal.
fn network(
    args: &TrainArgs,
    (spec, input, recipe): (&ArchitectureSpec, &InputSpec, &Recipe),
    classes: u32,
) -> anyhow::Result<TrainableNet> {
    let architecture = spec.resolve(classes)?.with_dropout(recipe.dropout);
    architecture.check_classes(classes)?;
    for side in [input.width, recipe.train_side, recipe.final_side] {
        architecture.map_size(side, side)?;
    }
    let normalisation = if recipe.batch_norm { Normalisation::Batch } else { Normalisation::Plain };
    let precision = args.precision.unwrap_or_else(Precision::fastest);
    tch::manual_seed(recipe.seed as i64);
    Ok(TrainableNet::new(architecture, input.channels.count() as u32, normalisation, precision)?)
}

/// Decodes all pictures, and lists those that can't be read.
fn load(listing: &Listing, input: &InputSpec, strict: bool) -> anyhow::Result<Data> {
    eprintln!(
        "{} classes, {} pictures to train on, {} held out",
        listing.classes.len(),
        listing.train.len(),
        listing.held_out.len()
    );
    let (train, mut unreadable) = Pictures::load(&listing.train, input);
    let (held_out, more) = Pictures::load(&listing.held_out, input);
    unreadable.extend(more);
    for file in &unreadable {
        eprintln!("left out: {file}");
    }
    ensure!(!strict || unreadable.is_empty(), "{} unreadable pictures", unreadable.len());
    ensure!(!train.is_empty() && !held_out.is_empty(), "no readable pictures left");
    Ok(Data { train, held_out })
}

/// Measures the finished model, as `nin-serve evaluate` would.
fn measure(model: &ModelFolder, listing: &Listing, folder: &Path) -> anyhow::Result<Evaluation> {
    let classifier = Classifier::new(model, Precision::F32)?;
    let input = &model.manifest.input;
    let (evaluation, _) = evaluate(&classifier, input, &model.labels, &listing.held_out)?;
    plots::confusion(&evaluation, &folder.join("confusion.svg"))?;
    plots::reliability(&evaluation, &folder.join("reliability.svg"))?;
    Ok(evaluation)
}

fn default_run_dir(out: &Path) -> PathBuf {
    Path::new("runs").join(out.file_name().unwrap_or_default())
}

/// What was typed, without the path of the program.
fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| {
        if argument.contains([' ', '\'', '"']) { format!("{argument:?}") } else { argument }
    });
    std::iter::once("nin-serve".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Set by the first SIGINT or SIGTERM; the second one ends the process.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

impl TrainArgs {
    fn data_name(&self) -> String {
        let name = self.data.file_name().unwrap_or(self.data.as_os_str()).to_string_lossy();
        format!("held-out pictures of {name}")
    }
}

impl InputArgs {
    /// The input contract, without the statistics that are measured later.
    pub(super) fn spec(&self, preset: Option<Preset>) -> InputSpec {
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
    fn recipe(&self, preset: Option<Preset>, input: &InputSpec) -> Recipe {
        let defaults = Recipe::defaults(preset, input.width, input.channels.count() as u32);
        Recipe {
            epochs: self.epochs.unwrap_or(defaults.epochs),
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            peak_rate: self.peak_rate.unwrap_or(defaults.peak_rate),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            label_smoothing: self.label_smoothing.unwrap_or(defaults.label_smoothing),
            batch_norm: self.batch_norm.unwrap_or(defaults.batch_norm),
            whiten: self.whiten.unwrap_or(defaults.whiten),
            dropout: self.dropout.unwrap_or(defaults.dropout),
            augment: Augment {
                crop: defaults.augment.crop,
                flip: self.flip.unwrap_or(defaults.augment.flip),
                jitter: self.jitter.unwrap_or(defaults.augment.jitter),
            },
            train_side: self.train_side.unwrap_or(defaults.train_side),
            final_side: self.final_side.unwrap_or(defaults.final_side),
            seed: self.seed.unwrap_or(defaults.seed),
        }
    }
}
