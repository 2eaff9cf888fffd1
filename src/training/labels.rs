//! Names that people read, for folders that bear other names.

use anyhow::{Context, ensure};
use std::collections::HashMap;
use std::path::Path;

/// The labels of `folders`, in their order: the folder names, or what the file `names` gives for
/// them in lines of "folder<TAB>label".
pub fn for_folders(folders: &[String], names: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(path) = names else { return Ok(folders.to_vec()) };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut by_folder = HashMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (folder, label) = line.split_once('\t').with_context(|| {
            format!("{} line {}: expected \"folder<TAB>label\"", path.display(), index + 1)
        })?;
        by_folder.insert(folder.trim(), label.trim());
    }
    let label = |folder: &String| {
        let label = by_folder.get(folder.as_str()).copied().unwrap_or_default();
        ensure!(!label.is_empty(), "{}: no label for the folder {folder}", path.display());
        Ok(label.to_owned())
    };
    folders.iter().map(label).collect()
}

/// For every label of a model the folder with its pictures: the one of `folders` whose name among
/// `names` is the label. A label without pictures keeps its own name, which no folder bears.
pub fn folders_in_order(folders: &[String], names: &[String], labels: &[String]) -> Vec<String> {
    let folder = |label: &String| {
        let position = names.iter().position(|name| name == label);
        position.map_or_else(|| label.clone(), |position| folders[position].clone())
    };
    labels.iter().map(folder).collect()
}
