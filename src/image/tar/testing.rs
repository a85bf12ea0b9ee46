//! A small tar writer for tests. It writes any header that a test needs, also headers that no
//! correct tool writes (wrong types, hostile names, broken sparse maps). It checks nothing. The
//! writer of the product is `writer`.

use super::BLOCK;

/// Builds an archive in memory.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Mode of the next headers; 0 stands for 0644, and for a directory 0755.
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: u64,
    pub device: (u32, u32),
}

impl Writer {
    /// Appends a header block of type `flag`.
    pub fn header(&mut self, flag: u8, path: &str, link: &str, size: u64) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.resize(start + BLOCK, 0);
        let mode = match (self.mode, flag) {
            (0, b'5') => 0o755,
            (0, _) => 0o644,
            (mode, _) => mode,
        };
        let (owner, mtime, device) = (self.owner, self.mtime, self.device);
        let mut put = |at: usize, field: &[u8]| {
            self.bytes[start + at..start + at + field.len()].copy_from_slice(field);
        };
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, format!("{:07o}", owner.0).as_bytes());
        put(116, format!("{:07o}", owner.1).as_bytes());
        put(124, format!("{size:011o}").as_bytes());
        put(136, format!("{mtime:011o}").as_bytes());
        put(156, &[flag]);
        put(157, link.as_bytes());
        put(257, if flag == b'S' { b"ustar  \0" } else { b"ustar\x0000" });
        put(329, format!("{:07o}", device.0).as_bytes());
        put(337, format!("{:07o}", device.1).as_bytes());
        self.sum(start)
    }

    fn sum(&mut self, start: usize) -> &mut Self {
        let header = &mut self.bytes[start..start + BLOCK];
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self
    }

    /// Appends data, padded to a block.
    pub fn data(&mut self, data: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Appends a header and its data.
    pub fn raw(&mut self, flag: u8, path: &str, data: &[u8]) -> &mut Self {
        self.header(flag, path, "", data.len() as u64).data(data)
    }

    /// Appends a regular file.
    pub fn file(&mut self, path: &str, data: &[u8]) -> &mut Self {
        self.raw(b'0', path, data)
    }

    /// Appends a directory.
    pub fn directory(&mut self, path: &str) -> &mut Self {
        self.header(b'5', path, "", 0)
    }

    /// Appends a link of type `flag`.
    pub fn link(&mut self, flag: u8, path: &str, target: &str) -> &mut Self {
        self.header(flag, path, target, 0)
    }

    /// Appends an extended header with `records`.
    pub fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let records = records.iter().flat_map(|(key, value)| pax_record(key, value));
        self.raw(b'x', "PaxHeaders/x", &records.collect::<Vec<u8>>())
    }

    /// Appends an old GNU sparse file. Its map always continues in a second block.
    pub fn gnu_sparse(
        &mut self,
        path: &str,
        map: &[(u64, u64)],
        real_size: u64,
        data: &[u8],
    ) -> &mut Self {
        let start = self.bytes.len();
        self.header(b'S', path, "", data.len() as u64);
        let extent = |(offset, length): &(u64, u64)| format!("{offset:011o}\0{length:011o}\0");
        let (first, rest) = map.split_at(1);
        self.bytes[start + 386..start + 410].copy_from_slice(extent(&first[0]).as_bytes());
        self.bytes[start + 482] = 1;
        self.bytes[start + 483..start + 494]
            .copy_from_slice(format!("{real_size:011o}").as_bytes());
        self.sum(start);
        self.data(rest.iter().map(extent).collect::<String>().as_bytes());
        if rest.is_empty() {
            self.bytes.resize(self.bytes.len() + BLOCK, 0);
        }
        self.data(data)
    }

    /// Returns the archive with its end mark.
    pub fn finish(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }
}

/// Returns one PAX record with its length.
pub fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}
