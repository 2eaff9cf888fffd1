//! How long libtorch's threads wait awake for the next layer of a network.
//!
//! By default libgomp has them turn 300,000 times before they sleep, some milliseconds, in which they
//! take a core from decoding and HTTP. See "Idle threads sleep" in docs/performance.md.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What libgomp reads, once, when it is loaded: before any code of ours.
const VARIABLE: &str = "GOMP_SPINCOUNT";
/// Enough for the gap between two layers.
const TURNS: &str = "2000";

/// Has this process start over with the variable set, as the same process, unless somebody has set it.
/// Returns if it is set, or if starting over fails.
///
/// Call it before anything else.
pub fn limit() -> io::Result<()> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut anew = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    Err(anew.args(arguments).env(VARIABLE, TURNS).exec())
}
