//! What the targets share: the checks, and what a fuzzer needs around them.

pub mod checks;

use std::panic;

/// Makes a panic in our own code the end, caught or not. The picture pipeline catches those of
/// decoders, and calls their pictures corrupt; in those libFuzzer's own hook would see a crash.
pub fn let_decoders_panic() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let file = info.location().map_or("", |location| location.file());
        if file.contains("/registry/") || file.contains("/rustc/") {
            eprintln!("a dependency panicked: {info}");
        } else {
            abort(info);
        }
    }));
}
