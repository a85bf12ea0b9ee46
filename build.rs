//! Compiles the default seccomp profile to BPF for the target's architecture, so that a start
//! spends no time on it, and tells the linker what the released binary can do without.

use std::fmt::Write;
use std::path::Path;

use seccomp_compiler::{bpf, profile, syscalls};

fn main() {
    link();
    // Cargo sets both for every build script.
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

/// What the linker leaves out of the released binary.
fn link() {
    println!("cargo::rerun-if-changed=src/link.ld");
    // The tests of other profiles do unwind.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let directory = std::env::var("CARGO_MANIFEST_DIR").expect("the package's directory");
        println!("cargo::rustc-link-arg-bins=-T{directory}/src/link.ld");
        println!("cargo::rustc-link-arg-bins=--no-eh-frame-hdr");
        // Functions with the same code are one.
        println!("cargo::rustc-link-arg-bins=--icf=all");
    }
}
