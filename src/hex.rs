//! Hexadecimal digits: of random ids, of digests, and the short form that tables print.
//!
//! Containers and most networks have random ids, anonymous volumes have random names, and the id of
//! an image is a digest. Like Docker, tables print the first 12 digits of the ids of containers,
//! networks and images, unless the user gives `--no-trunc`. `container_id` and `digest` have the
//! types of such ids. The random bytes are the kernel's (getrandom(2)).

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{Context, Result, fail};

/// The number of digits in the short form of an id.
pub const SHORT: usize = 12;

/// The first 12 digits of an id, or all of a shorter text.
pub fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// The lower-case digits of `bytes`.
pub fn digits(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            digits.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    digits
}

/// 64 random digits. Fails if the kernel returns no random bytes.
pub fn random_digits() -> Result<String> {
    Ok(digits(&random_bytes::<32>()?))
}

/// 16 random digits, for the name of a temporary file or directory.
pub fn random_name() -> Result<String> {
    Ok(digits(&random_bytes::<8>()?))
}

/// `N` random bytes. `N` must be at most 256, because the kernel may return only a part of a larger
/// request. Fails if the kernel does not return `N` bytes.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).context(|| "get random bytes")?;
    if filled != N {
        fail!("the kernel gave too few random bytes");
    }
    Ok(bytes)
}
