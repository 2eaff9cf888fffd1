//! Tells the loader where libtorch lies. torch-sys sets no run path for our binary.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names its library folder");
    // `$ORIGIN/../lib` is where the container image keeps the libraries.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib:{lib}");
}
