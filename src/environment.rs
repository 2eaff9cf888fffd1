//! What the libraries below libtorch read from the environment as they are loaded, before any code of
//! ours runs.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Variables and what they are to be, unless somebody has set them.
const DEFAULTS: [(&str, &str); 2] = [
    // How often libgomp's threads look for the next layer of a network before they sleep. By default
    // 300,000 times, some milliseconds, in which they take a core from decoding and HTTP. See "Idle
    // threads sleep" in docs/performance.md.
    ("GOMP_SPINCOUNT", "2000"),
    // MKL keeps what a product of f32 matrices has needed, 18 MB for each thread. See "MKL keeps
    // nothing" in docs/performance.md.
    ("MKL_DISABLE_FAST_MM", "1"),
];

/// Has this process start over, as the same process, with the variables that nobody has set.
/// Returns if all are set, or if starting over fails.
///
/// Call it before anything else.
pub fn complete() -> io::Result<()> {
    let missing: Vec<_> =
        DEFAULTS.into_iter().filter(|(name, _)| env::var_os(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut anew = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    Err(anew.args(arguments).envs(missing).exec())
}
