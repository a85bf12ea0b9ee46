//! The keys that detach a client from a container (`ctrl-p ctrl-q`), found in what is typed.

/// Watches typed bytes for the sequence.
pub struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

impl Detector {
    /// An empty sequence is never found.
    pub fn new(keys: &[u8]) -> Detector {
        Detector { keys: keys.to_vec(), matched: 0 }
    }

    /// Appends to `out` what of `typed` is the program's; true if the sequence is complete. Bytes
    /// that began a sequence and turned out to be none are passed on late, none is lost.
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
