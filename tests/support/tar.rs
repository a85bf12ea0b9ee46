//! A tar that the test writes itself, also with entries that tar programs do not make.
//!
//! The headers are those of ustar (POSIX.1-1988), with mode 0755, owner root and the time 0.

/// The entries of a tar, in the order in which they are added.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// Adds an entry of any type (`0` a file, `1` a hard link, `2` a symbolic link, `5` a
    /// directory).
    pub fn entry(mut self, kind: u8, name: &str, link: &str, data: &[u8]) -> Tar {
        self.0.extend_from_slice(&header(kind, name, link, data.len() as u64));
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, data: &str) -> Tar {
        self.entry(b'0', name, "", data.as_bytes())
    }

    pub fn directory(self, name: &str) -> Tar {
        self.entry(b'5', name, "", b"")
    }

    pub fn link(self, name: &str, target: &str) -> Tar {
        self.entry(b'2', name, target, b"")
    }

    /// The archive's bytes.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// The header of an entry whose data has `size` bytes.
pub fn header(kind: u8, name: &str, link: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000755\x000000000\x000000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000\0        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
