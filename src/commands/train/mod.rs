//! `nin-serve train`: a folder of pictures in, a model folder out.

use crate::model::architecture::Architecture;
use crate::model::manifest::ArchitectureSpec;
use crate::model::network::Precision;
use crate::model::weights::{Storage, Weights};
use crate::model::{Classifier, ModelFolder, Preset};
use crate::preprocess::{Channels, InputSpec};
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

mod args;

pub use args::InputArgs;
use args::RecipeArgs;

/// Train a network on a folder of pictures and write a model folder
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// A folder per class in `train/` and `val/` or `test/`, or a folder per class right below
    #[arg(long)]
    data: PathBuf,
    /// A preset (nin-outline, nin-28, nin-cifar, nin-imagenet) or the path of a model.toml
    #[arg(long, default_value = "nin-cifar")]
    architecture: String,
    /// Start from the weights of this model folder, not from random ones; where its classes are
    /// others than the data's, the last convolution is fresh
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
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
    /// Continue the run from its last checkpoint, if there is one
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

/// Runs the command.
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    ensure!(threads > 0, "--threads must be at least 1");
    tch::set_num_threads(threads as i32);
    crate::memory::keep_freed_blocks();
    let spec = architecture_spec(&args.architecture)?;
    let input = args.input.spec(spec.preset);
    let mut recipe = args.recipe.recipe(spec.preset, &input);
    recipe.whiten &= args.from.is_none();
    let listing = Listing::read(&args.data, args.holdout, recipe.seed)?;
    let labels = labels::for_folders(&listing.classes, args.labels.as_deref())?;
    let net = network(args, (&spec, &input, &recipe), labels.len() as u32)?;
    let start = args.from.as_deref();
    let start = start.map(|path| weights_from(path, net.architecture(), input.channels));
    let start = start.transpose()?;

    let data = load(&listing, &input, args.strict)?;
    let folder = args.run_dir.clone().unwrap_or_else(|| default_run_dir(&args.out));
    let report = Report::new(recipe.epochs);
    let mut run = Run::new(net, recipe, &data, &folder)?;
    if let Some(weights) = start {
        run.start_from(&weights)?;
    }
    if args.resume && !run.resume()? {
        eprintln!("no checkpoint in {} yet: from the beginning", folder.display());
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

/// The weights of the model folder `path`, whose layers must be those of `architecture`.
fn weights_from(
    path: &Path,
    architecture: &Architecture,
    channels: Channels,
) -> anyhow::Result<Weights> {
    let folder = ModelFolder::load(path)?;
    let convolutions = |architecture: &Architecture, channels: Channels| {
        let mut shapes = architecture.convolutions(channels.count() as u32);
        // The filters of the last one are the classes, which may differ.
        if let Some(last) = shapes.last_mut() {
            last.filters = 0;
        }
        shapes
    };
    let theirs = convolutions(&folder.architecture, folder.manifest.input.channels);
    ensure!(
        theirs == convolutions(architecture, channels),
        "--from {}: its convolutions are others than those to be trained; --architecture and \
         --channels must be as it was made with",
        path.display()
    );
    Ok(folder.tensors()?)
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
