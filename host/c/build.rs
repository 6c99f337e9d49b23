//! Gives the shared library its name: 0.1.x have one interface, 0.2 may have another one.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        let version = |part| env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap_or_default();
        let name = format!("libhearken.so.{}.{}", version("MAJOR"), version("MINOR"));
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{name}");
    }
}
