#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_serve_fuzz::{checks, let_decoders_panic};

fuzz_target!(init: let_decoders_panic(), |bytes: &[u8]| checks::picture(bytes));
