//! The binary is static, on this machine's architecture and on 64-bit Arm.
//!
//! One file must run on any Linux, so it must need neither a dynamic loader nor a shared library.
//! This file and `tests/host` also run the Arm binary. The other tests run only the binary for this
//! machine.

mod support;

use std::path::PathBuf;
use std::process::Command;

/// The program headers and the entry of the dynamic section that a dynamic binary has (elf(5)).
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;

/// Whether the ELF file needs a dynamic loader or shared libraries.
fn is_dynamic(elf: &[u8]) -> bool {
    let half = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap());
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    assert_eq!(&elf[..5], b"\x7fELF\x02", "no 64-bit ELF file");
    let (table, size, count) = (long(0x20) as usize, half(0x36) as usize, half(0x38) as usize);
    (0..count).map(|number| table + number * size).any(|header| match word(header) {
        PT_INTERP => true,
        // A static position-independent binary has this header too, to relocate itself.
        PT_DYNAMIC => {
            let (offset, length) = (long(header + 8) as usize, long(header + 32) as usize);
            (offset..offset + length).step_by(16).any(|entry| long(entry) == DT_NEEDED)
        }
        _ => false,
    })
}

#[test]
fn the_binary_is_static() {
    assert!(!is_dynamic(&std::fs::read(support::MYDOCKER).unwrap()));
    // Check `is_dynamic` itself: /bin/tar is a dynamic binary.
    assert!(is_dynamic(&std::fs::read("/bin/tar").unwrap()));
    let printed = Command::new("file").arg(support::MYDOCKER).output().unwrap();
    assert!(String::from_utf8_lossy(&printed.stdout).contains("static"), "{printed:?}");
    let printed = Command::new("ldd").arg(support::MYDOCKER).output().unwrap();
    assert!(!String::from_utf8_lossy(&printed.stdout).contains("=>"), "{printed:?}");
}

#[test]
fn the_binary_relocates_nothing_at_its_start() {
    // ET_EXEC (elf(5)): a binary that relocates itself would write to pages, and each monitor would
    // have its own copy of these pages.
    const ET_EXEC: [u8; 2] = [2, 0];
    let elf = std::fs::read(support::MYDOCKER).unwrap();
    assert_eq!(elf[0x10..0x12], ET_EXEC, "RUSTFLAGS replaces the flags of .cargo/config.toml");
}

#[test]
fn it_is_built_for_arm_and_runs_there() {
    const TARGET: &str = "aarch64-unknown-linux-musl";
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout).unwrap().trim());
    if !sysroot.join("lib/rustlib").join(TARGET).exists() {
        skip!("rust's target {TARGET} is missing: rustup target add {TARGET}");
    }
    // Use another directory: a build that uses the default one may hold its lock.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("arm");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let binary = target.join(TARGET).join("debug/mydocker");
    assert!(!is_dynamic(&std::fs::read(&binary).unwrap()));
    let ran = Command::new("qemu-aarch64-static").arg(&binary).arg("version").output().unwrap();
    let version = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && version.contains(env!("CARGO_PKG_VERSION")), "{ran:?}");
    assert!(version.contains("aarch64") || version.contains("arm64"), "{version}");
}
