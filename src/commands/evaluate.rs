//! `nin-serve evaluate`: how good a model is on held-out pictures.

use crate::model::network::Precision;
use crate::model::{Classifier, ModelFolder};
use crate::training::agreement::agreement;
use crate::training::evaluate::evaluate;
use crate::training::{export, labels, listing, plots};
use std::path::PathBuf;

/// Measure a model on pictures in a folder per class
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  nin-serve evaluate --model models/nin-mnist --data mnist")]
pub struct EvaluateArgs {
    /// The model folder
    #[arg(long)]
    model: PathBuf,
    /// A folder per class, or a folder with val/ or test/ that holds them
    #[arg(long)]
    data: PathBuf,
    /// Names of the labels for folders that bear other names: lines of "folder<TAB>label"
    #[arg(long)]
    labels: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Tell how often the answers are those of the plain path, which decodes all pixels and
    /// computes in f32 without short cuts
    #[arg(long, conflicts_with_all = ["json", "record", "plots"])]
    agreement: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Write confusion.svg and reliability.svg into this folder
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Write the figures into model.toml; the text says on which pictures they were measured
    #[arg(long, value_name = "TEXT")]
    record: Option<String>,
}

/// Runs the command.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    crate::memory::keep_freed_blocks();
    let model = ModelFolder::load(&args.model)?;
    let root = listing::held_out_root(&args.data);
    let folders = listing::class_folders(&root)?;
    let names = labels::for_folders(&folders, args.labels.as_deref())?;
    let items = listing::items(&root, &labels::folders_in_order(&folders, &names, &model.labels))?;
    let classifier = Classifier::new(&model, args.precision)?;
    let input = &model.manifest.input;
    if args.agreement {
        let plain = Classifier::plain(&model)?;
        println!("{}", agreement((&classifier, &plain), input, &items)?);
        return Ok(());
    }
    let (evaluation, unreadable) = evaluate(&classifier, input, &model.labels, &items)?;
    for file in &unreadable {
        eprintln!("left out: {file}");
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&evaluation)?);
    } else {
        print!("{}", evaluation.summary());
    }
    if let Some(folder) = &args.plots {
        std::fs::create_dir_all(folder)?;
        plots::confusion(&evaluation, &folder.join("confusion.svg"))?;
        plots::reliability(&evaluation, &folder.join("reliability.svg"))?;
    }
    if let Some(data) = &args.record {
        export::record_accuracy(&args.model, &evaluation, data)?;
    }
    Ok(())
}
