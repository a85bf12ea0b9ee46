//! Computes the content of a disk after a power cut, from a log of all writes to the disk.
//!
//! qemu's driver blklogwrites records each write, flush and discard in the order of the requests.
//! The format is that of dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst of
//! the kernel). A disk guarantees to keep writes before the last completed flush, and forced writes
//! (FUA). The other writes are in its volatile cache. The disk may lose any of them, in any order.
//! Killing qemu is not enough for this test, because the host's page cache keeps all writes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::chance::Chance;

/// The size of a sector in bytes: qemu's default, which the log uses.
pub const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// What a disk does with writes after the last flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// The disk keeps or loses each of them at random, but keeps forced writes (FUA). For file
    /// systems that use barriers.
    Volatile,
    /// The disk has no cache and keeps all writes. File systems without barriers rely on this.
    None,
}

struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// The offset of the data in the log.
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
        // Skip the superblock: its number of entries may be out of date.
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

    /// The number of entries: writes, flushes and discards.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The texts of the entries that start at `sector`, each with the number of its entry in the
    /// log. A text ends at the first zero byte.
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

    /// Changes `disk`, which has its content from before the log, to the content after a power cut
    /// that follows the first `cut` entries. Discards change nothing.
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
