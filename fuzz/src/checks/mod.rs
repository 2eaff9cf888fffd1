//! What must hold whatever comes in: one function for each fuzz target. They panic if it does not.
//!
//! The tests of the service include this file, too, and run it on seeds, on found cases, and on
//! what a generator makes of both.

mod manifest;
mod picture;
mod upload;

pub use manifest::manifest;
pub use picture::picture;
pub use upload::upload;
