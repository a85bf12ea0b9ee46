//! Compiles the default seccomp profile to BPF for the target's architecture, so that starting a
//! container compiles nothing. Also passes options to the linker that make the released binary
//! smaller.
//!
//! `seccomp_compiler::profile` reads the profile; the BPF code becomes a Rust source in OUT_DIR.

use std::fmt::Write;
use std::path::Path;

use seccomp_compiler::{bpf, profile, syscalls};

fn main() {
    link();
    // Cargo sets both variables for every build script.
    let native = std::env::var("CARGO_CFG_TARGET_ARCH").expect("the target's architecture");
    let directory = std::env::var("OUT_DIR").expect("the output directory");
    let family = syscalls::Arch::family(&native);
    assert!(!family.is_empty(), "no system call numbers for {native}");
    let groups = match profile::parse(profile::TEXT) {
        Ok(groups) => groups,
        Err(error) => panic!("default.profile: {error}"),
    };
    let code = bpf::compile(&profile::tables(&groups, family));
    assert!(code.instructions.len() <= bpf::MAX_INSTRUCTIONS, "the default profile is too long");
    let mut text = format!("pub static PROGRAM: [Instruction; {}] = [", code.instructions.len());
    for bpf::Instruction { code, jt, jf, k } in &code.instructions {
        // Writing to a String can't fail.
        let _ = write!(text, "Instruction {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},");
    }
    let _ = write!(text, "];\npub static GUARDS: [(usize, u64); {}] = [", code.guards.len());
    for (at, capabilities) in &code.guards {
        let _ = write!(text, "({at}, {capabilities}),");
    }
    text.push_str("];\n");
    let path = Path::new(&directory).join("seccomp.rs");
    std::fs::write(&path, text).expect("the output directory is writable");
}

/// Passes the linker options that make the released binary smaller.
fn link() {
    println!("cargo::rerun-if-changed=src/link.ld");
    // Only in the release profile: the programs of tests unwind on a panic and need the frame
    // tables.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let directory = std::env::var("CARGO_MANIFEST_DIR").expect("the package's directory");
        println!("cargo::rustc-link-arg-bins=-T{directory}/src/link.ld");
        println!("cargo::rustc-link-arg-bins=--no-eh-frame-hdr");
        // Merge functions with identical code.
        println!("cargo::rustc-link-arg-bins=--icf=all");
    }
}
