//! Finds out whether the kernel can run programs of another architecture.
//!
//! Some programs run natively, such as 386 on amd64, and others by an emulator that binfmt_misc
//! starts, such as qemu-user (binfmt-misc.rst in the kernel's admin guide). A container can use the
//! host's emulator only if the kernel opened the emulator at the registration (the flag F). This
//! file reads the registrations and makes none.

use std::fs;
use std::path::Path;

use crate::image::platform::{Platform, Wanted};

const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";
/// The number of bytes at the start of a program with which a registration's magic number is
/// compared.
const HEADER: usize = 20;

/// Reports whether programs of `platform` run on this machine, natively or by an emulator.
pub fn runs(platform: &Platform) -> bool {
    let native = Wanted::native();
    // Ignore the variant, which says how new the CPU must be. The user is responsible for images
    // that need a newer CPU.
    let plain = Platform { variant: String::new(), ..platform.clone() };
    platform.architecture == native.platform.architecture
        || native.rank(&plain).is_some()
        || header(&platform.architecture).is_some_and(|header| has_emulator(&header))
}

/// Returns the first bytes of an executable for the architecture (elf(5)): class, byte order and
/// machine.
fn header(architecture: &str) -> Option<[u8; HEADER]> {
    let (class, is_big, machine): (u8, bool, u16) = match architecture {
        "386" => (1, false, 3),
        "amd64" => (2, false, 62),
        "arm" => (1, false, 40),
        "arm64" => (2, false, 183),
        "loong64" => (2, false, 258),
        "mips64le" => (2, false, 8),
        "ppc64le" => (2, false, 21),
        "riscv64" => (2, false, 243),
        "s390x" => (2, true, 22),
        _ => return None,
    };
    let number = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut header = [0; HEADER];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1 + u8::from(is_big), 1]);
    // The type ET_EXEC.
    header[16..18].copy_from_slice(&number(2));
    header[18..].copy_from_slice(&number(machine));
    Some(header)
}

fn has_emulator(header: &[u8; HEADER]) -> bool {
    let is_on = |name: &str| {
        fs::read_to_string(Path::new(REGISTERED).join(name))
            .is_ok_and(|text| text.trim() == "enabled")
    };
    let Ok(entries) = fs::read_dir(REGISTERED) else { return false };
    is_on("status")
        && entries
            .flatten()
            .any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| takes(&text, header)))
}

/// Reports whether a registration is enabled, has the flag F and accepts programs with this header.
/// `text` is the registration's file in binfmt_misc.
fn takes(text: &str, header: &[u8; HEADER]) -> bool {
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', ':']))
    };
    let bytes = |name: &str| -> Option<Vec<u8>> {
        let text = value(name)?.trim();
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    };
    let is_opened = value("flags").is_some_and(|flags| flags.contains('F'));
    let Some(magic) = bytes("magic") else { return false };
    let mask = bytes("mask").unwrap_or_else(|| vec![0xff; magic.len()]);
    let has_magic = magic.len() <= HEADER
        && magic
            .iter()
            .zip(&mask)
            .zip(header)
            .all(|((magic, mask), byte)| (magic ^ byte) & mask == 0);
    text.starts_with("enabled\n") && is_opened && value("offset") == Some("0") && has_magic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_accepts_programs_with_its_magic_number() {
        let text = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n\
            magic 7f454c460201010000000000000000000200b700\n\
            mask ffffffffffffff00fffffffffffffffffeffffff\n";
        let takes = |text: &str, architecture| takes(text, &header(architecture).unwrap());
        assert!(takes(text, "arm64"));
        assert!(!takes(text, "arm") && !takes(text, "riscv64") && !takes(text, "s390x"));
        for (from, to) in
            [("flags: OCF", "flags: OC"), ("enabled", "disabled"), ("offset 0", "offset 1")]
        {
            assert!(!takes(&text.replace(from, to), "arm64"), "{to}");
        }
        assert!(!takes(
            "enabled\ninterpreter /usr/bin/python3\nflags: F\nextension .py\n",
            "arm64"
        ));
    }

    #[test]
    fn programs_of_this_machine_run_and_unknown_ones_do_not() {
        assert!(runs(&Platform::native()));
        let unknown = Platform { architecture: "vax".to_owned(), ..Platform::native() };
        assert!(!runs(&unknown));
    }
}
