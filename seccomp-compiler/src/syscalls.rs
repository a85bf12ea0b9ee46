//! System calls by name and by number on each architecture, from `syscalls.tbl`. A filter needs the
//! numbers of every architecture whose programs the kernel can run: an x86_64 kernel may also run
//! i386 and x32 programs, and an aarch64 kernel may also run arm programs.

use linux_raw_sys::ptrace::{
    AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64,
};

/// The text of the table: one line per call, with its number on each architecture and its name.
pub const TABLE: &str = include_str!("syscalls.tbl");

/// An architecture, as a filter sees it. x32 has the audit value of x86_64; bit 30 of the call's
/// number tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    X32,
    I386,
    Aarch64,
    Arm,
}

/// The bit that marks the number of an x32 call: __X32_SYSCALL_BIT in asm/unistd.h.
pub const X32_BIT: u32 = 0x4000_0000;

/// The first number that only x32 has, including `X32_BIT`. The kernel's tables of x86_64 and x32
/// agree on all numbers below, except that x32 lacks some of x86_64's calls.
pub const X32_FIRST_OWN: u32 = X32_BIT + 512;

impl Arch {
    /// The architectures whose programs a kernel of `native` can run, with `native` first. Empty if
    /// this crate does not know `native`.
    pub fn family(native: &str) -> &'static [Arch] {
        match native {
            "x86_64" => &[Arch::X86_64, Arch::X32, Arch::I386],
            "aarch64" => &[Arch::Aarch64, Arch::Arm],
            _ => &[],
        }
    }

    /// The value of `seccomp_data.arch` (AUDIT_ARCH_* in linux/audit.h).
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => AUDIT_ARCH_X86_64,
            Arch::I386 => AUDIT_ARCH_I386,
            Arch::Aarch64 => AUDIT_ARCH_AARCH64,
            Arch::Arm => AUDIT_ARCH_ARM,
        }
    }

    /// The index of the architecture's column in the table.
    fn column(self) -> usize {
        self as usize
    }

    /// All calls of this architecture, as pairs of the number that a filter sees and the name.
    pub fn calls(self) -> impl Iterator<Item = (u32, &'static str)> {
        let base = if self == Arch::X32 { X32_BIT } else { 0 };
        TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let mut fields = line.split_ascii_whitespace();
            let number: u32 = fields.nth(self.column())?.parse().ok()?;
            Some((base + number, fields.next_back()?))
        })
    }
}

/// Whether at least one architecture has a call of this name.
pub fn exists(name: &str) -> bool {
    TABLE.lines().any(|line| line.split_ascii_whitespace().next_back() == Some(name))
}
