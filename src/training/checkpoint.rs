//! The state of a run on disk, written so that a kill at any moment leaves a whole one.

use super::net::TrainableNet;
use super::recipe::Recipe;
use super::sgd::Sgd;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use tch::{Kind, Tensor};

/// Where a run stands, beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub recipe: Recipe,
    /// The epoch under way, from 0, and the step in it that comes next.
    pub epoch: usize,
    pub step: usize,
    /// Sums over the steps of this epoch.
    pub sums: Sums,
    /// One record for each epoch that is done.
    pub history: Vec<EpochRecord>,
}

/// Sums over pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    pub loss: f64,
    pub correct: u64,
    pub pictures: u64,
}

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    pub learning_rate: f64,
    pub train_loss: f64,
    /// On augmented pictures, with dropout: lower than on plain ones.
    pub train_accuracy: f64,
    pub held_out_loss: f64,
    pub held_out_accuracy: f64,
    pub pictures_per_second: f64,
}

const POSITION: &str = "position";

/// Writes `bytes` to `path` by way of a file beside it, so that `path` is always whole.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // Temporary files are private; what they become is to be read by others.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path)?;
    Ok(())
}

/// Saves a run.
pub fn save(path: &Path, net: &TrainableNet, sgd: &Sgd, position: &Position) -> anyhow::Result<()> {
    let mut stored = Vec::new();
    for (name, tensor) in tensors(net, sgd) {
        let mut bytes = vec![0u8; tensor.numel() * size_of::<f32>()];
        let plain = tensor.f_detach()?.f_contiguous()?;
        plain.f_view_dtype(Kind::Uint8)?.f_copy_data_u8(&mut bytes, plain.numel() * 4)?;
        let shape = tensor.size().iter().map(|&side| side as usize).collect::<Vec<_>>();
        stored.push((name, shape, bytes));
    }
    let views = stored.iter().map(|(name, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let metadata = HashMap::from([(POSITION.to_owned(), serde_json::to_string(position)?)]);
    write_atomically(path, &safetensors::serialize(views, Some(metadata))?)?;
    Ok(())
}

/// Loads a run into a network and an optimiser of the same shapes.
pub fn load(path: &Path, net: &TrainableNet, sgd: &Sgd) -> anyhow::Result<Position> {
    let bytes = std::fs::read(path)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
    let position = metadata.metadata().as_ref().and_then(|entries| entries.get(POSITION));
    let position = position.ok_or_else(|| anyhow::anyhow!("holds no position of a run"))?;
    let file = SafeTensors::deserialize(&bytes)?;
    let _guard = tch::no_grad_guard();
    for (name, tensor) in tensors(net, sgd) {
        let view = file.tensor(&name)?;
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        anyhow::ensure!(shape == tensor.size(), "{name} has another shape than the architecture");
        let saved = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?;
        tensor.shallow_clone().f_copy_(&saved)?;
    }
    Ok(serde_json::from_str(position)?)
}

/// All tensors of a run by name.
fn tensors<'a>(net: &'a TrainableNet, sgd: &'a Sgd) -> Vec<(String, &'a Tensor)> {
    let parameters = net.parameters();
    let kept = [("momentum", &sgd.buffers), ("average", &sgd.averages)];
    let kept: Vec<_> = kept
        .into_iter()
        .flat_map(|(prefix, tensors)| {
            let named = parameters.iter().zip(tensors);
            named.map(move |((name, _), tensor)| (format!("{prefix}.{name}"), tensor))
        })
        .collect();
    parameters.into_iter().chain(net.statistics()).chain(kept).collect()
}
