//! Checks the maps of files with holes, and parses the maps outside of headers and PAX records
//! (tar.info, "Storing Sparse Files"). GNU tar has four formats: the old map in the header and in
//! blocks after it, PAX 0.0 and 0.1 in records, and PAX 1.0 as decimal lines before the data.

use std::io::BufRead;

use super::header::{Extent, OldSparse, old_sparse_extents};
use super::pax::decimal;
use super::{BLOCK, Reader, truncated};
use crate::error::{Result, fail};

/// The most extents of one file.
const MAX_EXTENTS: usize = 1 << 20;
/// The longest decimal line of a PAX 1.0 map, in bytes.
const MAX_LINE: usize = 20;

/// Fails if the extents of a map are out of order, overlap or end past `size`, or if the sum of
/// their lengths is not `stored`.
pub fn check(map: &[Extent], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut total) = (0u64, 0u64);
    for extent in map {
        let past = extent.offset.checked_add(extent.length);
        let Some(past) = past.filter(|&past| extent.offset >= end && past <= size) else {
            fail!("bad map of a sparse file");
        };
        end = past;
        total += extent.length;
    }
    if total != stored {
        fail!("the map of a sparse file has {total} bytes, the archive has {stored}");
    }
    Ok(())
}

impl<R: BufRead> Reader<R> {
    /// Reads the rest of an old GNU map: blocks of 21 extents. A block has a mark if another block
    /// follows. Returns the whole map and the size of the file.
    pub(super) fn gnu_sparse_map(&mut self, first: OldSparse) -> Result<(Vec<Extent>, u64)> {
        let OldSparse { mut map, real_size, mut continues } = first;
        while continues {
            let block = self.block()?.ok_or_else(truncated)?;
            map.extend(old_sparse_extents(&block[..504])?);
            continues = block[504] != 0;
            if map.len() > MAX_EXTENTS {
                fail!("a sparse file of more than {MAX_EXTENTS} pieces");
            }
        }
        Ok((map, real_size))
    }

    /// Reads a PAX 1.0 map: the number of extents, then the offset and the length of each, one
    /// decimal line each, padded to a block.
    pub(super) fn sparse_map_in_data(&mut self) -> Result<Vec<Extent>> {
        let start = self.position();
        let count = self.map_number()?;
        if count > MAX_EXTENTS as u64 {
            fail!("a sparse file of more than {MAX_EXTENTS} pieces");
        }
        let mut map = Vec::new();
        for _ in 0..count {
            map.push(Extent { offset: self.map_number()?, length: self.map_number()? });
        }
        let mut padding = (start.wrapping_sub(self.position()) % BLOCK as u64) as usize;
        while padding > 0 {
            let piece = self.data()?.len().min(padding);
            if piece == 0 {
                return Err(truncated());
            }
            self.consume(piece);
            padding -= piece;
        }
        Ok(map)
    }

    fn map_number(&mut self) -> Result<u64> {
        let mut line = Vec::new();
        loop {
            let Some(&byte) = self.data()?.first() else {
                fail!("the map of a sparse file is cut short");
            };
            self.consume(1);
            if byte == b'\n' {
                return decimal(b"sparse map", &line);
            }
            if line.len() == MAX_LINE {
                fail!("bad map of a sparse file");
            }
            line.push(byte);
        }
    }
}
