//! The 512-byte header block of a tar (tar(5), POSIX ustar, GNU tar): fixed fields, numbers in
//! octal or in GNU's base-256, a checksum. This file parses one block alone. Its parent module
//! applies the extensions that change the meaning of a block: long names and PAX records.

use super::BLOCK;
use crate::error::{Error, Result, fail};

/// The fields of one header block, before extensions are applied.
pub struct Header {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind_flag: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: i64,
    pub device: (u32, u32),
    /// The fields of GNU's old sparse format (type `S`), in place of ustar's prefix.
    pub sparse: OldSparse,
}

/// A run of data in a file with holes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// The first part of an old GNU sparse map.
#[derive(Default)]
pub struct OldSparse {
    pub map: Vec<Extent>,
    pub real_size: u64,
    /// Whether another block of the map follows.
    pub continues: bool,
}

impl Header {
    /// Parses a block. Fails if the checksum or a number is wrong.
    pub fn parse(block: &[u8; BLOCK]) -> Result<Header> {
        check_sum(block)?;
        let kind_flag = block[156];
        let mut path = text(&block[0..100]);
        // "ustar\0" is POSIX, which splits long paths; "ustar  " is GNU, which has other fields in
        // place of the prefix.
        if &block[257..263] == b"ustar\0" {
            let prefix = text(&block[345..500]);
            if !prefix.is_empty() {
                path = [prefix, path].join(&b'/');
            }
        }
        let is_device = matches!(kind_flag, b'3' | b'4');
        let device_number =
            |field| if is_device { narrow(number(field)?, "device") } else { Ok(0) };
        let sparse = match kind_flag {
            b'S' => OldSparse {
                map: old_sparse_extents(&block[386..482])?,
                real_size: unsigned(&block[483..495], "sparse size")?,
                continues: block[482] != 0,
            },
            _ => OldSparse::default(),
        };
        Ok(Header {
            path,
            link: text(&block[157..257]),
            kind_flag,
            mode: number(&block[100..108])? as u32 & 0o7777,
            uid: narrow(number(&block[108..116])?, "uid")?,
            gid: narrow(number(&block[116..124])?, "gid")?,
            size: unsigned(&block[124..136], "size")?,
            mtime: number(&block[136..148])?,
            device: (device_number(&block[329..337])?, device_number(&block[337..345])?),
            sparse,
        })
    }
}

/// Parses extents of 12 + 12 bytes, up to the first extent that starts with NUL.
pub fn old_sparse_extents(fields: &[u8]) -> Result<Vec<Extent>> {
    let mut map = Vec::new();
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let offset = unsigned(&pair[..12], "sparse offset")?;
        let length = unsigned(&pair[12..], "sparse length")?;
        map.push(Extent { offset, length });
    }
    Ok(map)
}

/// Checks the header's checksum: the sum of all bytes, with the checksum's field taken as spaces.
/// Old writers summed signed bytes, so that sum is valid too.
fn check_sum(block: &[u8; BLOCK]) -> Result<()> {
    let stated = number(&block[148..156]).ok();
    let (mut unsigned, mut signed) = (0i64, 0i64);
    for (at, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    if stated != Some(unsigned) && stated != Some(signed) {
        fail!("bad checksum; this isn't a tar archive, or it is corrupt");
    }
    Ok(())
}

/// Parses octal text, or if the top bit is set, a big-endian number in two's complement.
fn number(field: &[u8]) -> Result<i64> {
    let bad = || Error::new(format!("bad number '{}'", field.escape_ascii()));
    if field[0] & 0x80 != 0 {
        // A field has at most 12 bytes, so its number fits into an i128. The top bit is the mark,
        // and the next bit is the sign.
        let first = i128::from(((field[0] << 1) as i8) >> 1);
        let value = field[1..].iter().fold(first, |value, &byte| value << 8 | i128::from(byte));
        return i64::try_from(value).map_err(|_| bad());
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|&byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let mut value: i64 = 0;
    for &digit in &digits[..end] {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(bad());
        }
        value = value << 3 | i64::from(digit - b'0');
    }
    Ok(value)
}

fn unsigned(field: &[u8], what: &str) -> Result<u64> {
    let value = number(field)?;
    u64::try_from(value)
        .map_err(|_| Error::new(format!("{what} {value} is negative: the archive is damaged")))
}

fn narrow(value: i64, what: &str) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::new(format!("{what} {value} is out of range")))
}

fn text(field: &[u8]) -> Vec<u8> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    field[..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_dialect() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"77777777", 0o77777777),
            (b"\x80\0\0\0\0\0\0\0\x02\0\0\0", 1 << 25),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ] {
            assert_eq!(number(field).unwrap(), value, "{}", field.escape_ascii());
        }
        for bad in [&b"99999999"[..], b"-1\0\0\0\0\0\0", b"\x80\x01\0\0\0\0\0\0\0\0\0\0"] {
            assert!(number(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
