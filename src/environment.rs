//! What libgomp reads from the environment as it is loaded, before any code of ours runs.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How often libgomp's threads look for the next layer of a network before they sleep, and what it is to
/// be. By default it is 300,000, some milliseconds, in which they take a core from decoding and HTTP. See
/// "Idle threads sleep" in docs/performance.md.
const SPINNING: (&str, &str) = ("GOMP_SPINCOUNT", "2000");

/// Has this process start over, as the same process, with the variable set, unless it is.
/// Returns if it is, or if starting over fails.
///
/// Call it before anything else.
pub fn complete() -> io::Result<()> {
    let (name, value) = SPINNING;
    if env::var_os(name).is_some() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut anew = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    Err(anew.args(arguments).env(name, value).exec())
}
