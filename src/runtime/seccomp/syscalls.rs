//! The system calls by name and number, from `syscalls.tbl`. Compiled into build.rs too, so it
//! imports nothing.

pub const TABLE: &str = include_str!("syscalls.tbl");

/// An architecture as a filter sees it. x32 is told from x86_64 by a bit of the number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    X32,
    I386,
    Aarch64,
    Arm,
}

/// What marks a call of x32's (asm/unistd.h, __X32_SYSCALL_BIT).
const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// The architectures whose programs a kernel of `native` runs, itself first.
    pub fn family(native: &str) -> &'static [Arch] {
        match native {
            "x86_64" => &[Arch::X86_64, Arch::X32, Arch::I386],
            "aarch64" => &[Arch::Aarch64, Arch::Arm],
            _ => &[],
        }
    }

    /// `seccomp_data.arch` (linux/audit.h, AUDIT_ARCH_*).
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xc000_003e,
            Arch::I386 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    /// Its column in the table.
    fn column(self) -> usize {
        self as usize
    }

    /// Every call it has, as the number that a filter sees and the name.
    pub fn calls(self) -> impl Iterator<Item = (u32, &'static str)> {
        let base = if self == Arch::X32 { X32_BIT } else { 0 };
        TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let mut fields = line.split_ascii_whitespace();
            let number: u32 = fields.nth(self.column())?.parse().ok()?;
            Some((base + number, fields.next_back()?))
        })
    }
}

/// Whether some architecture has a call of this name.
#[allow(dead_code)] // Asked by the build script.
pub fn exists(name: &str) -> bool {
    TABLE.lines().any(|line| line.split_ascii_whitespace().next_back() == Some(name))
}
