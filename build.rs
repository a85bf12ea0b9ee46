//! Compiles the default seccomp profile to BPF for the target's architecture, so that the start of
//! a container with this profile compiles nothing. Also passes options to the linker that make the
//! released binary smaller.
//!
//! `seccomp_compiler::profile` reads the profile; the BPF code becomes a Rust source in OUT_DIR.

use std::fmt::Write;
use std::path::Path;

use seccomp_compiler::{bpf, capabilities, profile, syscalls};

fn main() {
    link();
    // Cargo sets CARGO_CFG_TARGET_ARCH and OUT_DIR for every build script.
    let native = std::env::var("CARGO_CFG_TARGET_ARCH").expect("the target's architecture");
    let directory = std::env::var("OUT_DIR").expect("the output directory");
    let family = syscalls::Arch::family(&native);
    assert!(!family.is_empty(), "no system call numbers for {native}");
    let groups = match profile::parse(profile::TEXT) {
        Ok(groups) => groups,
        Err(error) => panic!("default.profile: {error}"),
    };
    let mut tables = profile::tables(&groups, family);
    let code = bpf::compile(&tables);
    let mut text = instructions("PROGRAM", &code.instructions);
    // Writing to a String can't fail.
    let _ = write!(text, "pub static GUARDS: [(usize, u64); {}] = [", code.guards.len());
    for (at, capabilities) in &code.guards {
        let _ = write!(text, "({at}, {capabilities}),");
    }
    text.push_str("];\n");
    // Most containers have the default capabilities. A program for these capabilities has no
    // guards, so it is shorter and takes less time to install.
    let held = capabilities::DEFAULT.iter().filter_map(|name| capabilities::bit(name)).sum();
    profile::settle(&mut tables, held);
    text += &instructions("DEFAULT_PROGRAM", &bpf::compile(&tables).instructions);
    let relevant = code.guards.iter().fold(0, |bits, (_, capabilities)| bits | capabilities);
    let _ = writeln!(text, "pub const GUARDED: u64 = {relevant};");
    let _ = writeln!(text, "pub const DEFAULT_HELD: u64 = {};", relevant & held);
    let path = Path::new(&directory).join("seccomp.rs");
    std::fs::write(&path, text).expect("the output directory is writable");
}

/// Rust code for a program.
fn instructions(name: &str, program: &[bpf::Instruction]) -> String {
    assert!(program.len() <= bpf::MAX_INSTRUCTIONS, "the default profile is too long");
    let mut text = format!("pub static {name}: [Instruction; {}] = [", program.len());
    for bpf::Instruction { code, jt, jf, k } in program {
        let _ = write!(text, "Instruction {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},");
    }
    text.push_str("];\n");
    text
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
