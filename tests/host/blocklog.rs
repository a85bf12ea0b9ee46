//! What a disk holds after its plug was pulled, worked out from a log of all that was written to it.
//!
//! qemu's driver blklogwrites keeps, in the format of dm-log-writes (Linux,
//! Documentation/admin-guide/device-mapper/log-writes.rst), every write and flush in the order in
//! which the guest issued them. A real disk has promised to keep what came before the last
//! completed flush, and what was written through (FUA); of the rest, in its volatile cache, any
//! part may be lost, in any order. Killing qemu alone would prove little: the host's page cache
//! keeps all that it was ever given.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::chance::Chance;

/// qemu's default, in which the log counts.
pub const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// What a disk does with writes that no flush has followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// It keeps each or loses it, as chance has it: to be used with barriers.
    Volatile,
    /// It has none: what was written is kept, up to the very moment. What file systems mounted
    /// without barriers rely on.
    None,
}

struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where the data begins in the log.
    data: u64,
}

pub struct Log {
    file: File,
    entries: Vec<Entry>,
}

impl Log {
    pub fn open(path: &Path) -> Log {
        let file = File::open(path).unwrap();
        let length = file.metadata().unwrap().len();
        let mut entries = Vec::new();
        // After the superblock, which isn't looked at: it is brought up to date by flushes only.
        let mut at = SECTOR;
        while at + SECTOR <= length {
            let mut header = [0; 32];
            file.read_exact_at(&mut header, at).unwrap();
            let (sector, sectors, flags) = (word(&header, 0), word(&header, 1), word(&header, 2));
            let data = at + SECTOR;
            let payload = if flags & DISCARD != 0 { 0 } else { sectors * SECTOR };
            if (sectors == 0 && flags == 0) || data + payload > length {
                break;
            }
            entries.push(Entry { sector, sectors, flags, data });
            at = data + payload;
        }
        Log { file, entries }
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was written to a sector: when, counted in writes, and the text, up to its first zero.
    pub fn texts_at(&self, sector: u64) -> Vec<(usize, String)> {
        let written = self.entries.iter().enumerate();
        let there = written.filter(|(_, entry)| entry.sector == sector && entry.sectors > 0);
        there
            .map(|(number, entry)| {
                let mut data = [0; SECTOR as usize];
                self.file.read_exact_at(&mut data, entry.data).unwrap();
                let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
                (number, String::from_utf8_lossy(text).into_owned())
            })
            .collect()
    }

    /// Makes `disk`, which holds what it held before the log began, what it is if the power goes
    /// after `cut` writes.
    pub fn replay(&self, disk: &Path, cut: usize, cache: Cache, chance: &mut Chance) {
        let disk = OpenOptions::new().write(true).open(disk).unwrap();
        let written = &self.entries[..cut];
        let flushed = match cache {
            Cache::None => cut,
            Cache::Volatile => {
                written.iter().rposition(|entry| entry.flags & FLUSH != 0).unwrap_or(0)
            }
        };
        for (number, entry) in written.iter().enumerate() {
            if entry.flags & DISCARD != 0 || entry.sectors == 0 {
                continue;
            }
            if number < flushed || entry.flags & FUA != 0 || chance.below(2) == 0 {
                let mut data = vec![0; (entry.sectors * SECTOR) as usize];
                self.file.read_exact_at(&mut data, entry.data).unwrap();
                disk.write_all_at(&data, entry.sector * SECTOR).unwrap();
            }
        }
    }
}

fn word(bytes: &[u8], number: usize) -> u64 {
    u64::from_le_bytes(bytes[number * 8..number * 8 + 8].try_into().unwrap())
}
