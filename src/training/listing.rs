//! Finds the pictures of a data set: a folder per class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

/// A picture file and the index of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub path: PathBuf,
    pub class: usize,
}

/// The pictures of a data set, nothing decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Names of the class folders, sorted; an item's class is an index into it.
    pub classes: Vec<String>,
    pub train: Vec<Item>,
    pub held_out: Vec<Item>,
}

#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: no class folders in here", path.display())]
    NoClasses { path: PathBuf },
    #[error("{}: one class only ({class}); a classifier needs at least two", path.display())]
    OneClass { path: PathBuf, class: String },
    #[error("{}: the class folder is empty", path.display())]
    EmptyClass { path: PathBuf },
    #[error("{}: class {class} is not among the {known} known classes", path.display())]
    UnknownClass { path: PathBuf, class: String, known: usize },
    #[error("{}: a holdout of {share} leaves class {class} without training or held-out pictures", path.display())]
    Holdout { path: PathBuf, share: f64, class: String },
}

const HELD_OUT_NAMES: [&str; 3] = ["val", "test", "validation"];

impl Listing {
    /// Lists `root`: either `train/` and `val/` or `test/` with a folder per class in each, or a
    /// folder per class from which the share `holdout` (0 to 1) is held out, chosen by `seed`.
    pub fn read(root: &Path, holdout: f64, seed: u64) -> Result<Self, ListingError> {
        let train_root = root.join("train");
        match held_out_folder(root) {
            Some(held_out_root) if train_root.is_dir() => {
                let classes = class_folders(&train_root)?;
                let train = items(&train_root, &classes)?;
                let held_out = items(&held_out_root, &classes)?;
                Ok(Self { classes, train, held_out })
            }
            _ => Self::split(root, holdout, seed),
        }
    }

    fn split(root: &Path, share: f64, seed: u64) -> Result<Self, ListingError> {
        let classes = class_folders(root)?;
        let mut by_class: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
        for item in items(root, &classes)? {
            by_class.entry(item.class).or_default().push(item);
        }
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        for (class, mut items) in by_class {
            items.shuffle(&mut Pcg64Mcg::seed_from_u64(seed ^ class as u64));
            let count = (items.len() as f64 * share).round() as usize;
            if count == 0 || count >= items.len() {
                let (path, class) = (root.to_owned(), classes[class].clone());
                return Err(ListingError::Holdout { path, share, class });
            }
            train.extend(items.split_off(count));
            held_out.append(&mut items);
        }
        Ok(Self { classes, train, held_out })
    }
}

/// Where the pictures to measure a model on lie: `val/` or `test/` in `root`, or `root` itself.
pub fn held_out_root(root: &Path) -> PathBuf {
    held_out_folder(root).unwrap_or_else(|| root.to_owned())
}

fn held_out_folder(root: &Path) -> Option<PathBuf> {
    HELD_OUT_NAMES.iter().map(|name| root.join(name)).find(|path| path.is_dir())
}

/// Names of the class folders in `root`, sorted.
pub fn class_folders(root: &Path) -> Result<Vec<String>, ListingError> {
    let mut classes = Vec::new();
    for path in entries(root)? {
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && path.is_dir()
            && !name.starts_with('.')
        {
            classes.push(name.to_owned());
        }
    }
    match classes.as_slice() {
        [] => Err(ListingError::NoClasses { path: root.to_owned() }),
        [class] => Err(ListingError::OneClass { path: root.to_owned(), class: class.clone() }),
        _ => Ok(classes),
    }
}

/// The pictures in the class folders of `root`. `classes` are the folder names in the order of the
/// model's outputs; a folder that is not among them is an error.
pub fn items(root: &Path, classes: &[String]) -> Result<Vec<Item>, ListingError> {
    let mut items = Vec::new();
    for name in class_folders(root)? {
        let folder = root.join(&name);
        let class = classes.iter().position(|class| *class == name);
        let class = class.ok_or_else(|| ListingError::UnknownClass {
            path: folder.clone(),
            class: name,
            known: classes.len(),
        })?;
        let before = items.len();
        let files = entries(&folder)?.into_iter().filter(|path| path.is_file());
        items.extend(files.map(|path| Item { path, class }));
        if items.len() == before {
            return Err(ListingError::EmptyClass { path: folder });
        }
    }
    Ok(items)
}

/// Everything in a folder, sorted, so that a seed means the same on every file system.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ListingError> {
    let wrong = |source| ListingError::Io { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(wrong)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    paths.sort();
    Ok(paths)
}
