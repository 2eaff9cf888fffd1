//! `nin-serve import`: weights from elsewhere become a model folder.

use super::train::{InputArgs, architecture_spec};
use crate::model::caffe;
use crate::model::weights::{Storage, Weights};
use crate::training::export::{self, Draft};
use anyhow::{Context, ensure};
use std::path::PathBuf;

/// Make a model folder of weights that were trained elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  The 1000-class ImageNet network of the Caffe Model Zoo:
    nin-serve import nin_imagenet.caffemodel --architecture nin-imagenet \\
      --labels synset_words.txt --order bgr --resize crop \\
      --scale 1 --mean 104,117,123 --std 1,1,1 --out models/nin-imagenet

  Tensors saved from PyTorch, named conv1.weight, conv1.bias, conv2.weight, ...:
    nin-serve import mine.safetensors --architecture model.toml --labels labels.txt --out models/mine")]
pub struct ImportArgs {
    /// A .caffemodel, or a .safetensors with the tensors conv<i>.weight and conv<i>.bias
    file: PathBuf,
    /// A preset (nin-outline, nin-28, nin-cifar, nin-imagenet) or the path of a model.toml
    #[arg(long)]
    architecture: String,
    /// One label a line, in the order of the outputs
    #[arg(long)]
    labels: PathBuf,
    /// The model folder to write
    #[arg(long)]
    out: PathBuf,
    /// One sentence about the model
    #[arg(long, default_value = "Weights imported by nin-serve import.")]
    description: String,
    #[command(flatten)]
    input: InputArgs,
    /// Order of the colour channels that the network was trained on
    #[arg(long, value_enum, default_value = "rgb")]
    order: crate::preprocess::ChannelOrder,
    /// Multiplies the 0-255 pixel value before the mean is taken off [default: 1/255]
    #[arg(long)]
    scale: Option<f32>,
    /// One value per channel, in the network's channel order
    #[arg(long, value_delimiter = ',')]
    mean: Vec<f32>,
    /// One value per channel
    #[arg(long, value_delimiter = ',')]
    std: Vec<f32>,
}

/// Runs the command.
pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let spec = architecture_spec(&args.architecture)?;
    let mut input = args.input.spec(spec.preset);
    input.order = args.order;
    input.scale = args.scale.unwrap_or(input.scale);
    for (values, given) in [(&mut input.mean, &args.mean), (&mut input.std, &args.std)] {
        if !given.is_empty() {
            values.clone_from(given);
        }
    }
    let text =
        std::fs::read_to_string(&args.labels).with_context(|| args.labels.display().to_string())?;
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    ensure!(labels.len() > 1, "{}: fewer than two labels", args.labels.display());

    let shapes = spec.resolve(labels.len() as u32)?.convolutions(input.channels.count() as u32);
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| file.to_string())?;
    let weights = match args.file.extension().and_then(|extension| extension.to_str()) {
        Some("caffemodel") => caffe::read(&bytes, &shapes).with_context(|| file.to_string())?,
        Some("safetensors") => Weights::read(&bytes, &shapes).with_context(|| file.to_string())?,
        _ => anyhow::bail!("{file}: expected a .caffemodel or a .safetensors file"),
    };
    let draft = Draft {
        description: args.description.clone(),
        architecture: spec,
        input,
        labels,
        storage: Storage::F32,
    };
    let model = export::write(&args.out, &draft, &weights)?;
    println!(
        "wrote {}: {} convolutions, {} parameters",
        args.out.display(),
        weights.convolutions.len(),
        model.parameters()
    );
    Ok(())
}
