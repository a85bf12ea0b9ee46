//! Finds the detach keys (`--detach-keys`, default ctrl-p ctrl-q) in the bytes that the user types.
//!
//! The keys may arrive in several reads, so the detector keeps its state between calls. If another
//! byte interrupts the sequence, the program gets the bytes of the interrupted sequence too.
//! `cli::value::process` parses the flag.

/// The detector of one client.
pub struct Detector {
    keys: Vec<u8>,
    /// The number of keys that have matched so far.
    matched: usize,
}

impl Detector {
    /// Creates a detector for `keys`. An empty sequence never matches.
    pub fn new(keys: &[u8]) -> Detector {
        Detector { keys: keys.to_vec(), matched: 0 }
    }

    /// Appends to `out` the bytes of `typed` that belong to the program. Returns true if the
    /// sequence is complete. If `typed` ends with the start of the sequence, keeps these bytes for
    /// the next call.
    pub fn pass(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in typed {
            if self.keys.is_empty() {
                out.push(byte);
                continue;
            }
            if byte != self.keys[self.matched] {
                out.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
            } else {
                out.push(byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_sequence_across_reads_and_loses_nothing() {
        let mut detector = Detector::new(&[16, 17]);
        let mut out = Vec::new();
        assert!(!detector.pass(b"a\x10", &mut out));
        assert_eq!(out, b"a");
        assert!(!detector.pass(b"b\x10\x10", &mut out));
        assert_eq!(out, b"a\x10b\x10");
        assert!(detector.pass(b"\x11", &mut out));
        assert_eq!(out, b"a\x10b\x10");
    }
}
