//! Base64 (RFC 4648, section 4): the form of passwords in the Authorization header and in Docker's
//! config.json. Encoding pads; decoding also accepts missing padding, which some tools leave out.
//! Both directions take only a few lines, so this file replaces a dependency.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes `bytes` with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for digit in 0..4 {
            let value = (group >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(ALPHABET[value]) } else { '=' });
        }
    }
    text
}

/// Decodes `text`, with or without padding. Returns `None` if `text` is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut group = 0u32;
        for digit in 0..4 {
            let value = match chunk.get(digit) {
                Some(byte) => ALPHABET.iter().position(|known| known == byte)? as u32,
                None => 0,
            };
            group = group << 6 | value;
        }
        let whole = [(group >> 16) as u8, (group >> 8) as u8, group as u8];
        bytes.extend_from_slice(&whole[..chunk.len().checked_sub(1).filter(|&count| count > 0)?]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_bytes_are_decoded_again() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("me:pä+?", "bWU6cMOkKz8=")]
        {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
        assert!(decode("Z").is_none() && decode("Zg=x").is_none() && decode("Z\ng=").is_none());
    }
}
