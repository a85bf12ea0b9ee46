//! PAX extended headers: records `LENGTH KEY=VALUE\n` that override fields of the next header
//! (POSIX.1-2024, pax, "pax Extended Header"). The keys `SCHILY.xattr.*` come from star, and
//! `GNU.sparse.*` from GNU tar. The parser skips unknown keys, and fails on a malformed record. The
//! caller bounds the size of the extended header.

use super::header::Extent;
use crate::error::{Error, Result, fail};

/// The known records of one extended header.
#[derive(Default)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: PaxSparse,
    any: bool,
}

/// The facts about a sparse file in PAX records.
#[derive(Default)]
pub struct PaxSparse {
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    pub map: Vec<Extent>,
    /// Whether the format is 1.0, in which the map comes before the data.
    pub in_data: bool,
}

impl Records {
    /// Whether this is the default, and not the result of [`Records::parse`].
    pub fn is_empty(&self) -> bool {
        !self.any
    }

    /// Parses the records of one header. A NUL in place of a record ends them. Fails on a malformed
    /// record.
    pub fn parse(mut bytes: &[u8]) -> Result<Records> {
        let mut records = Records { any: true, ..Records::default() };
        // The last `GNU.sparse.offset`, until its `GNU.sparse.numbytes` follows.
        let mut offset = None;
        while !bytes.is_empty() && bytes[0] != 0 {
            let (record, rest) = split_record(bytes)?;
            bytes = rest;
            let Some(equals) = record.iter().position(|&byte| byte == b'=') else {
                fail!("a PAX record without '='");
            };
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                if name.is_empty() || name.contains(&0) {
                    fail!("bad name of an extended attribute");
                }
                records.xattrs.push((name.to_vec(), value.to_vec()));
                continue;
            }
            let given = !value.is_empty();
            match key {
                b"path" => records.path = given.then(|| value.to_vec()),
                b"linkpath" => records.link = given.then(|| value.to_vec()),
                b"size" if given => records.size = Some(decimal(key, value)?),
                b"uid" if given => records.uid = Some(id(key, value)?),
                b"gid" if given => records.gid = Some(id(key, value)?),
                b"mtime" if given => records.mtime = Some(instant(value)?),
                b"GNU.sparse.name" => records.sparse.name = given.then(|| value.to_vec()),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                    records.sparse.real_size = Some(decimal(key, value)?);
                }
                b"GNU.sparse.major" => records.sparse.in_data = value == b"1",
                b"GNU.sparse.offset" => offset = Some(decimal(key, value)?),
                b"GNU.sparse.numbytes" => {
                    let Some(offset) = offset.take() else {
                        fail!("PAX sparse map: a length without an offset");
                    };
                    records.sparse.map.push(Extent { offset, length: decimal(key, value)? });
                }
                b"GNU.sparse.map" => {
                    let numbers = value.split(|&byte| byte == b',');
                    let numbers: Vec<u64> =
                        numbers.map(|number| decimal(key, number)).collect::<Result<_>>()?;
                    if !numbers.len().is_multiple_of(2) {
                        fail!("PAX sparse map: a length without an offset");
                    }
                    let extent = |pair: &[u64]| Extent { offset: pair[0], length: pair[1] };
                    records.sparse.map = numbers.chunks_exact(2).map(extent).collect();
                }
                _ => {}
            }
        }
        Ok(records)
    }
}

/// Splits `bytes` into the first record, without its length, blank and newline, and the bytes after
/// that record.
fn split_record(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let bad = || Error::new("a PAX record with a bad length");
    let blank = bytes.iter().take(20).position(|&byte| byte == b' ').ok_or_else(bad)?;
    let length = decimal(b"length", &bytes[..blank]).map_err(|_| bad())?;
    let length = usize::try_from(length).map_err(|_| bad())?;
    if length > bytes.len() || length < blank + 2 || bytes[length - 1] != b'\n' {
        return Err(bad());
    }
    Ok((&bytes[blank + 1..length - 1], &bytes[length..]))
}

/// Appends a record. The record's length counts its own digits too.
pub fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let digits = |length: usize| length.to_string().len();
    // The length's own digits may make the length one digit longer, but never two.
    let mut length = body + digits(body);
    length = body + digits(length);
    out.extend_from_slice(format!("{length} ").as_bytes());
    for part in [key, b"=", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// Parses the decimal digits of a PAX record or sparse map. `key` names the value in the error.
pub fn decimal(key: &[u8], value: &[u8]) -> Result<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    let bad =
        || Error::new(format!("PAX {}: bad number '{}'", key.escape_ascii(), value.escape_ascii()));
    text.and_then(|text| text.parse().ok()).ok_or_else(bad)
}

fn id(key: &[u8], value: &[u8]) -> Result<u32> {
    let wide = decimal(key, value)?;
    let range = |_| Error::new(format!("PAX {}: {wide} is out of range", key.escape_ascii()));
    u32::try_from(wide).map_err(range)
}

/// Parses `[-]SECONDS[.FRACTION]`. The sign holds for the fraction too.
fn instant(value: &[u8]) -> Result<(i64, u32)> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let seconds = decimal(b"mtime", parts.next().unwrap_or_default())?;
    let fraction = parts.next().unwrap_or_default();
    let mut ns = 0;
    for at in 0..9 {
        let digit = fraction.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            fail!("PAX mtime: bad number '{}'", value.escape_ascii());
        }
        ns = ns * 10 + u32::from(digit - b'0');
    }
    let range = |_| Error::new("PAX mtime: out of range");
    let seconds = i64::try_from(seconds).map_err(range)?;
    Ok(match (negative, ns) {
        (false, ns) => (seconds, ns),
        (true, 0) => (-seconds, 0),
        (true, ns) => (-seconds - 1, 1_000_000_000 - ns),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::pax_record;
    use super::*;

    #[test]
    fn a_value_may_hold_anything() {
        let record = pax_record("SCHILY.xattr.user.x", b"a\n=\0\xff");
        let records = Records::parse(&record).unwrap();
        assert_eq!(records.xattrs, [(b"user.x".to_vec(), b"a\n=\0\xff".to_vec())]);
    }

    #[test]
    fn a_length_counts_its_own_digits() {
        for length in (0..120).chain(970..1020) {
            let (value, mut record) = (vec![b'v'; length], Vec::new());
            push_record(&mut record, b"path", &value);
            assert_eq!(Records::parse(&record).unwrap().path.unwrap_or_default(), value);
            assert_eq!(record, pax_record("path", &value));
        }
    }

    #[test]
    fn bad_records_are_refused() {
        for bad in [
            &b"5 a=b"[..],
            b"99 a=b\n",
            b"6 a=b\nx",
            b"2 a=b\n",
            b"a=b\n",
            b"99999999999999999999 a=b\n",
            b"7 abcd\n",
            b"11 size=-1\n",
            b"18 uid=4294967296\n",
        ] {
            assert!(Records::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn times_before_1970_count_backwards() {
        assert_eq!(instant(b"1.000000001").unwrap(), (1, 1));
        assert_eq!(instant(b"-0.25").unwrap(), (-1, 750_000_000));
        assert_eq!(instant(b"-3").unwrap(), (-3, 0));
        assert_eq!(instant(b"1.1234567899").unwrap(), (1, 123_456_789));
        assert!(instant(b"1.x").is_err());
    }
}
