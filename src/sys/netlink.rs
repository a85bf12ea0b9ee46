//! Netlink messages (netlink(7), rtnetlink(7)), which read and change the kernel's tables of links,
//! addresses, routes and packet filters.
//!
//! A message is a header, a fixed part that depends on its family, and attributes. An attribute is
//! a type, a length and bytes, padded to four bytes. This file encodes messages and attributes by
//! hand and checks each length: the length of an attribute has 16 bits, and the rest of a longer
//! value would be read as further attributes (CVE-2021-43784). One send may carry several messages.
//! The kernel processes the messages in order and acknowledges each that has NLM_F_ACK. With
//! NETLINK_EXT_ACK the acknowledgement of a failure may also contain a text.

use std::io;

use linux_raw_sys::netlink as kernel;
use linux_raw_sys::netlink::{ifaddrmsg, ifinfomsg, rtmsg, tcmsg};
use rustix::io::Errno;
use rustix::net::sockopt;

use crate::error::{Context, Error, Result};

/// Defines constants of a kernel header, with the type that they have in a message.
macro_rules! numbers {
    ($type:ty, $header:path: $($name:ident),+ $(,)?) => {
        $(const $name: $type = {
            use $header as header;
            header::$name as $type
        };)+
    };
}
pub(crate) use numbers;

/// NLM_F_ACK: request an acknowledgement (netlink(7)).
pub const ACK: u16 = kernel::NLM_F_ACK as u16;
/// NLM_F_DUMP: list all objects.
pub const DUMP: u16 = kernel::NLM_F_DUMP as u16;
/// NLM_F_REPLACE: replace an existing object.
pub const REPLACE: u16 = kernel::NLM_F_REPLACE as u16;
/// NLM_F_EXCL: fail if the object exists.
pub const EXCL: u16 = kernel::NLM_F_EXCL as u16;
/// NLM_F_CREATE: create a missing object.
pub const CREATE: u16 = kernel::NLM_F_CREATE as u16;
/// NLM_F_APPEND: add at the end of a list.
pub const APPEND: u16 = kernel::NLM_F_APPEND as u16;
/// NLA_F_NESTED: the attribute's value is a list of attributes.
pub const NESTED: u16 = kernel::NLA_F_NESTED as u16;

/// The size of struct nlmsghdr.
const HEADER: usize = size_of::<kernel::nlmsghdr>();
/// The size of the receive buffer, in bytes. The kernel's datagrams are normally not longer. A
/// longer datagram is an error.
const DATAGRAM: usize = 32 << 10;
/// The size in bytes up to which a batch fits a socket's default send buffer.
const SEND_BUFFER: usize = 64 << 10;

/// The family of a netlink socket (netlink(7)).
#[derive(Clone, Copy)]
pub enum Family {
    /// NETLINK_ROUTE: links, addresses and routes.
    Route,
    /// NETLINK_NETFILTER: nf_tables and connection tracking.
    Netfilter,
}

/// A kernel struct at the start of a message's payload.
///
/// # Safety
/// The type holds integers only and has no padding, so that all its bytes are initialised.
pub unsafe trait FamilyHeader: Copy {}

// SAFETY: ifinfomsg holds integers; its padding byte is a field.
unsafe impl FamilyHeader for ifinfomsg {}
// SAFETY: tcmsg holds integers; its padding bytes are fields.
unsafe impl FamilyHeader for tcmsg {}
// SAFETY: rtnetlink(7) gives the layout: integers without padding.
unsafe impl FamilyHeader for ifaddrmsg {}
// SAFETY: rtnetlink(7) gives the layout: integers without padding.
unsafe impl FamilyHeader for rtmsg {}
// SAFETY: an array of bytes has no padding.
unsafe impl<const N: usize> FamilyHeader for [u8; N] {}

fn bytes_of<T: FamilyHeader>(header: &T) -> &[u8] {
    // SAFETY: FamilyHeader guarantees that each byte of the value is initialised. The slice borrows
    // the value.
    unsafe { std::slice::from_raw_parts((&raw const *header).cast(), size_of::<T>()) }
}

/// A list of messages for one send.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// For each message, the offset of its first byte and its purpose for error messages.
    messages: Vec<(usize, String)>,
    /// Whether a value did not fit its length field, or a text contained a NUL. Such a batch must
    /// not be sent.
    overflow: bool,
}

impl Batch {
    /// Starts a message with its type, flags and family header. `doing` is the message's purpose,
    /// such as "add link web", which errors report.
    pub fn begin(
        &mut self,
        kind: u16,
        flags: u16,
        header: &impl FamilyHeader,
        doing: impl Into<String>,
    ) {
        self.begin_message(kind, flags, bytes_of(header), doing.into());
    }

    fn begin_message(&mut self, kind: u16, flags: u16, header: &[u8], doing: String) {
        self.finish();
        self.messages.push((self.bytes.len(), doing));
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | kernel::NLM_F_REQUEST as u16).to_ne_bytes());
        // The space of the sequence number, which `transmit` sets, and of the port number, which
        // the kernel does not need in a request.
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(header);
        self.pad();
    }

    /// Appends `more` to the purpose of the last message.
    pub fn remark(&mut self, more: &str) {
        if let Some((_, doing)) = self.messages.last_mut() {
            doing.push_str(more);
        }
    }

    /// Adds an attribute to the last message. If `value` is longer than 65,531 bytes, sending the
    /// batch fails.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let Ok(length) = u16::try_from(value.len() + 4) else {
            self.overflow = true;
            return;
        };
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// As `attribute`, for a text, to which a final NUL is added. If `value` contains a NUL,
    /// sending the batch fails.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.overflow |= value.contains('\0');
        self.attribute(kind, &bytes);
    }

    /// Adds an attribute whose value is the attributes that `fill` adds.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Batch)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflow = true,
        }
    }

    /// Adds a family header inside an attribute. VETH_INFO_PEER needs a struct ifinfomsg there.
    pub fn header(&mut self, header: &impl FamilyHeader) {
        self.bytes.extend_from_slice(bytes_of(header));
        self.pad();
    }

    /// The part of each message after its netlink header.
    #[cfg(test)]
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let starts = self.messages.iter().map(|(start, _)| *start);
        let ends = starts.clone().skip(1).chain([self.bytes.len()]);
        starts.zip(ends).map(|(start, end)| &self.bytes[start + HEADER..end])
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Writes the length of the last message, which is now complete.
    fn finish(&mut self) {
        if let Some(&(start, _)) = self.messages.last() {
            match u32::try_from(self.bytes.len() - start) {
                Ok(length) => self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes()),
                Err(_) => self.overflow = true,
            }
        }
    }
}

/// A received message, without its header.
pub struct Message {
    pub payload: Vec<u8>,
}

/// A netlink socket, which stays in the network namespace in which it was created.
pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
}

impl Socket {
    /// Creates a socket of the family `Route` in the network namespace of this thread.
    pub fn route() -> Result<Socket> {
        Socket::new(Family::Route)
    }

    /// Creates a socket of `family` in the network namespace of this thread. Fails with the errors
    /// of socket(2).
    pub fn new(family: Family) -> Result<Socket> {
        let protocol = match family {
            Family::Route => kernel::NETLINK_ROUTE,
            Family::Netfilter => kernel::NETLINK_NETFILTER,
        };
        let socket =
            netlink_sys::Socket::new(protocol as isize).context(|| "make a netlink socket")?;
        // On a kernel without these options, an error repeats the whole request and has no text.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Socket { socket, sequence: 0 })
    }

    /// Sends all messages and waits until the kernel has acknowledged each. Returns the first
    /// failure, with the purpose of its message. After a failure the kernel still processes the
    /// following messages.
    pub fn send(&mut self, mut batch: Batch) -> Result<()> {
        let (first, count) = (self.sequence + 1, batch.messages.len());
        for &(start, _) in &batch.messages {
            let at = start + 6;
            let flags = u16::from_ne_bytes([batch.bytes[at], batch.bytes[at + 1]]) | ACK;
            batch.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        }
        self.transmit(&mut batch)?;
        let mut failure = None;
        let mut acknowledged = 0;
        while acknowledged < count {
            self.receive(0, |header, payload| {
                if header.kind != NLMSG_ERROR || header.sequence < first {
                    return;
                }
                acknowledged += 1;
                let index = (header.sequence - first) as usize;
                if let Err(error) = outcome(header.flags, payload)
                    && failure.is_none()
                {
                    let doing = batch.messages.get(index).map_or("", |(_, doing)| doing);
                    failure = Some(Err(error).context(|| doing));
                }
            })?;
        }
        failure.unwrap_or(Ok(()))
    }

    /// Sends a batch of nf_tables, which starts with NFNL_MSG_BATCH_BEGIN. The kernel applies the
    /// whole batch or nothing. Returns the first failure, with the purpose of its message.
    ///
    /// When sendto(2) returns, the kernel has processed the batch and has reported its failures.
    /// The messages must not request acknowledgements: the acknowledgements of a long batch would
    /// overflow the receive buffer.
    pub fn commit(&mut self, mut batch: Batch) -> Result<()> {
        self.transmit(&mut batch)?;
        let first = self.sequence + 1 - batch.messages.len() as u32;
        let mut failure = None;
        loop {
            let received = self.receive(libc::MSG_DONTWAIT, |header, payload| {
                if header.kind == NLMSG_ERROR
                    && header.sequence >= first
                    && failure.is_none()
                    && let Err(error) = outcome(header.flags, payload)
                {
                    let doing = batch.messages.get((header.sequence - first) as usize);
                    failure = Some(Err(error).context(|| doing.map_or("", |(_, doing)| doing)));
                }
            });
            match received {
                Err(error) if error.errno() == Some(Errno::AGAIN) => {
                    return failure.unwrap_or(Ok(()));
                }
                received => received?,
            }
        }
    }

    /// Sends the request in `batch`, which must hold exactly one, and returns the answer: one
    /// message, or all messages of a dump. Fails with the kernel's error.
    pub fn ask(&mut self, mut batch: Batch) -> Result<Vec<Message>> {
        let is_dump = batch.bytes.get(7).is_some_and(|high| (u16::from(*high) << 8) & DUMP == DUMP);
        self.transmit(&mut batch)?;
        let (sequence, doing) = (self.sequence, &batch.messages[0].1);
        let (mut answers, mut end) = (Vec::new(), None);
        while end.is_none() {
            self.receive(0, |header, payload| {
                if header.sequence != sequence || end.is_some() {
                    return;
                }
                match header.kind {
                    NLMSG_DONE => end = Some(Ok(())),
                    NLMSG_ERROR => end = Some(outcome(header.flags, payload)),
                    _ => {
                        answers.push(Message { payload: payload.to_vec() });
                        if !is_dump {
                            end = Some(Ok(()));
                        }
                    }
                }
            })?;
        }
        // The loop above ends only when `end` is set.
        end.unwrap_or(Ok(())).context(|| doing.as_str())?;
        Ok(answers)
    }

    fn transmit(&mut self, batch: &mut Batch) -> Result<()> {
        batch.finish();
        if batch.overflow {
            let doing = batch.messages.first().map_or("", |(_, doing)| doing);
            return Err(Error::new(format!("{doing}: a name or list is too long for netlink")));
        }
        for &(start, _) in &batch.messages {
            self.sequence += 1;
            batch.bytes[start + 8..start + 12].copy_from_slice(&self.sequence.to_ne_bytes());
        }
        if batch.bytes.len() > SEND_BUFFER {
            // If the buffer cannot be enlarged and the batch does not fit, sendto(2) below fails
            // with EMSGSIZE.
            let _ = sockopt::set_socket_send_buffer_size_force(&self.socket, 2 * batch.bytes.len());
        }
        loop {
            match self.socket.send(&batch.bytes, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result.map(drop).context(|| "send netlink messages"),
            }
        }
    }

    /// Receives one datagram and calls `each` with every message in it. `flags` are those of
    /// recv(2).
    fn receive(&mut self, flags: i32, mut each: impl FnMut(&Header, &[u8])) -> Result<()> {
        let mut buffer = Vec::with_capacity(DATAGRAM);
        let length = loop {
            match self.socket.recv(&mut buffer, flags | libc::MSG_TRUNC) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => break result.context(|| "receive netlink messages")?,
            }
        };
        if length > buffer.len() {
            return Err(Error::new(format!("a netlink message of {length} bytes is too long")));
        }
        let mut rest = &buffer[..];
        while let Some(header) = Header::parse(rest) {
            each(&header, &rest[HEADER..header.length]);
            rest = rest.get(header.length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

const NLMSG_ERROR: u16 = kernel::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = kernel::NLMSG_DONE as u16;

struct Header {
    length: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Header> {
        let length = u32_at(bytes, 0)? as usize;
        let header = Header {
            length,
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
        };
        (HEADER..=bytes.len()).contains(&length).then_some(header)
    }
}

/// The result in the payload of NLMSG_ERROR: the errno, with the kernel's text if there is one.
fn outcome(flags: u16, payload: &[u8]) -> Result<()> {
    let code = u32_at(payload, 0).unwrap_or(0) as i32;
    if code == 0 {
        return Ok(());
    }
    let error: Result<()> = Err(Errno::from_raw_os_error(-code).into());
    let repeated = u32_at(payload, 4).unwrap_or(0) as usize;
    let words = if flags & kernel::NLM_F_CAPPED as u16 == 0 {
        repeated.next_multiple_of(4)
    } else {
        HEADER
    };
    let words = payload
        .get(4 + words..)
        .filter(|_| flags & kernel::NLM_F_ACK_TLVS as u16 != 0)
        .unwrap_or_default();
    const TEXT: u16 = kernel::nlmsgerr_attrs::NLMSGERR_ATTR_MSG as u16;
    match attributes(words).find(|(kind, _)| *kind == TEXT) {
        Some((_, text)) => {
            let text = String::from_utf8_lossy(text);
            error.context(|| text.trim_end_matches('\0').to_owned())
        }
        None => error,
    }
}

/// The attributes in `bytes`, in order, as type and value. An attribute with an impossible length
/// ends the list.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & kernel::NLA_TYPE_MASK as u16;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of type `kind` in `bytes`.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The number at the offset `at` in the host's byte order; `None` if `bytes` is too short.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_are_padded_and_measured() {
        let mut batch = Batch::default();
        batch.begin(16, 0, &[1, 2, 3, 4], "one");
        batch.text(3, "eth0");
        batch.nest(18, |batch| batch.attribute(1, &[9]));
        batch.begin(17, 0, &[], "two");
        batch.finish();
        assert_eq!(u32_at(&batch.bytes, 0), Some(16 + 4 + 12 + 12));
        let (name, rest) = batch.bytes[20..].split_at(12);
        assert_eq!(name, [9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        assert_eq!(rest[..12], [12, 0, 18, 0x80, 5, 0, 1, 0, 9, 0, 0, 0]);
        assert_eq!(u32_at(&batch.bytes, 44), Some(16));
    }

    #[test]
    fn a_value_that_overflows_its_length_is_never_sent() {
        let mut socket = Socket::route().unwrap();
        for fill in [
            |batch: &mut Batch| batch.text(3, &"x".repeat(70_000)),
            |batch: &mut Batch| {
                batch.nest(18, |b| (0..3).for_each(|_| b.attribute(1, &[0; 30_000])))
            },
            |batch: &mut Batch| batch.text(3, "a\0b"),
        ] {
            let mut batch = Batch::default();
            batch.begin(16, 0, &[0; 16], "add link x");
            fill(&mut batch);
            let error = socket.send(batch).unwrap_err().to_string();
            assert!(error.contains("too long for netlink"), "{error}");
        }
    }

    #[test]
    fn an_attribute_with_a_wrong_length_ends_the_list() {
        assert_eq!(attributes(&[5, 0, 1, 0, 7]).collect::<Vec<_>>(), [(1, &[7][..])]);
        assert_eq!(attributes(&[200, 0, 1, 0, 7]).count(), 0);
        assert_eq!(attributes(&[2, 0, 1, 0, 7]).count(), 0);
        assert_eq!(attributes(&[4]).count(), 0);
    }

    #[test]
    fn the_kernel_answers() {
        let mut socket = Socket::route().unwrap();
        let mut batch = Batch::default();
        // Type 18 is RTM_GETLINK, and index 1 is the loopback interface.
        let mut header = [0; 16];
        header[4] = 1;
        batch.begin(18, 0, &header, "get link 1");
        let answer = socket.ask(batch).unwrap();
        assert_eq!(attribute(&answer[0].payload[16..], 3), Some(&b"lo\0"[..]));
        let mut batch = Batch::default();
        batch.begin(18, DUMP, &[0; 16], "list links");
        assert!(!socket.ask(batch).unwrap().is_empty());
        let mut batch = Batch::default();
        header[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        batch.begin(18, 0, &header, "get no link");
        assert_eq!(socket.ask(batch).err().unwrap().errno(), Some(Errno::NODEV));
    }
}
