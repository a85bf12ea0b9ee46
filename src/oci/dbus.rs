//! The parts of D-Bus that the module `systemd` needs (D-Bus Specification, "Message Protocol" and
//! "Authentication Protocol"): a connection by SASL EXTERNAL, method calls, and signals that arrive
//! between the replies. Messages are in the host's byte order, because the peer is on the same
//! host. The size of each message is bounded. The total time of the handshake, of each call and of
//! each wait for a signal is bounded too. Introspection, file descriptors and most argument types
//! are not implemented.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result, fail};

/// The maximum size in bytes of a received message's body, and of its header fields. systemd's
/// messages have a few hundred bytes.
const MAX_MESSAGE: usize = 1 << 20;
/// The longest line of the handshake, in bytes.
const MAX_LINE: usize = 1024;
/// The maximum time of the handshake, of each call and of each wait for a signal.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The maximum number of signals that are kept until `Connection::signal` reads them.
const MAX_SIGNALS: usize = 4096;

const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
const LITTLE: u8 = b'l';
const BIG: u8 = b'B';
const OWN: u8 = if cfg!(target_endian = "little") { LITTLE } else { BIG };

/// The service, object and interface of a method.
pub struct Object {
    pub service: &'static str,
    pub path: &'static str,
    pub interface: &'static str,
}

/// The message bus itself.
const BUS: Object = Object {
    service: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// The arguments of a message, in the order of the signature, each with the alignment of its type.
#[derive(Default)]
pub struct Body {
    signature: String,
    bytes: Vec<u8>,
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    Numbers(Vec<u32>),
    Signed(i32),
    Unsigned(u32),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
}

impl Body {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_ne_bytes());
    }

    fn string(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(text.len() as u8);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// Adds an array whose elements are aligned to `alignment` bytes.
    fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Body)) {
        self.number(0);
        let length_at = self.bytes.len() - 4;
        self.align(alignment);
        let start = self.bytes.len();
        fill(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_ne_bytes());
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.string(text);
            }
            Value::Flag(flag) => {
                self.signature("b");
                self.number(u32::from(*flag));
            }
            Value::Number(number) => {
                self.signature("t");
                self.align(8);
                self.bytes.extend(number.to_ne_bytes());
            }
            Value::Numbers(numbers) => {
                self.signature("au");
                self.array(4, |body| numbers.iter().for_each(|number| body.number(*number)));
            }
            Value::Signed(number) => {
                self.signature("i");
                self.number(*number as u32);
            }
            Value::Unsigned(number) => {
                self.signature("u");
                self.number(*number);
            }
            Value::Texts(texts) => {
                self.signature("as");
                self.array(4, |body| texts.iter().for_each(|text| body.string(text)));
            }
            Value::Bytes(bytes) => {
                self.signature("ay");
                self.array(1, |body| body.bytes.extend(bytes));
            }
        }
    }

    /// Adds a string.
    pub fn with_text(mut self, text: &str) -> Body {
        self.signature.push('s');
        self.string(text);
        self
    }

    /// Adds a boolean.
    pub fn with_flag(mut self, flag: bool) -> Body {
        self.signature.push('b');
        self.number(u32::from(flag));
        self
    }

    /// Adds an array of pairs of name and value (`a(sv)`).
    pub fn with_properties(mut self, properties: &[(&str, Value)]) -> Body {
        self.signature.push_str("a(sv)");
        self.array(8, |body| {
            for (name, value) in properties {
                body.align(8);
                body.string(name);
                body.variant(value);
            }
        });
        self
    }

    /// Adds an empty array of auxiliary units (`a(sa(sv))`), which StartTransientUnit requires.
    pub fn with_no_units(mut self) -> Body {
        self.signature.push_str("a(sa(sv))");
        self.array(8, |_| {});
        self
    }
}

/// Reads the values of a received message, in order. Fails if the message is too short.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { fail!("a message of the bus is cut short") };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    /// The next value, a 32-bit number.
    pub fn number(&mut self) -> Result<u32> {
        self.align(4);
        let bytes = self.take(4)?;
        Ok(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// The next value, a string or an object path.
    pub fn string(&mut self) -> Result<String> {
        let length = self.number()? as usize;
        self.text(length)
    }

    fn signature(&mut self) -> Result<String> {
        let length = self.take(1)?[0] as usize;
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}

/// A received message.
#[derive(Default)]
pub struct Message {
    kind: u8,
    reply_to: u32,
    member: String,
    error: String,
    body: Vec<u8>,
}

impl Message {
    /// A reader of the message's values.
    pub fn body(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// A connection to the bus.
pub struct Connection {
    stream: UnixStream,
    serial: u32,
    /// The signals that arrived during a wait for a reply.
    signals: Vec<Message>,
    /// The maximum time of each step.
    max_wait: Duration,
    /// The end of the present step.
    deadline: Instant,
}

impl Connection {
    /// Subscribes to the signals that match `rule`. Without a subscription, the bus sends no
    /// broadcast signals.
    pub fn listen(&mut self, rule: &str) -> Result<()> {
        self.call(&BUS, "AddMatch", Body::default().with_text(rule)).map(drop)
    }

    /// Connects to the bus's socket at `path` as this user, and calls Hello, which must be the
    /// first call.
    pub fn open(path: &str) -> Result<Connection> {
        let stream = UnixStream::connect(path).context(|| "connect")?;
        let mut connection = Connection::over(stream, MAX_WAIT);
        let uid = rustix::process::geteuid().as_raw().to_string();
        let uid: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        connection.write(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let answer = connection.line()?;
        if !answer.starts_with("OK ") {
            fail!("the bus refuses this user: {answer}");
        }
        connection.write(b"BEGIN\r\n")?;
        connection.call(&BUS, "Hello", Body::default())?;
        Ok(connection)
    }

    fn over(stream: UnixStream, max_wait: Duration) -> Connection {
        let deadline = Instant::now() + max_wait;
        Connection { stream, serial: 0, signals: Vec::new(), max_wait, deadline }
    }

    /// Calls a method and returns its reply. Fails if the reply is an error or takes more than 30
    /// seconds, or if more than `MAX_SIGNALS` signals wait for `Connection::signal`.
    pub fn call(&mut self, object: &Object, method: &str, body: Body) -> Result<Message> {
        self.deadline = Instant::now() + self.max_wait;
        self.serial += 1;
        let message = encode(self.serial, object, method, &body);
        self.write(&message)?;
        loop {
            let message = self.read()?;
            match message.kind {
                SIGNAL if self.signals.len() >= MAX_SIGNALS => {
                    fail!("the bus sends more than {MAX_SIGNALS} signals")
                }
                SIGNAL => self.signals.push(message),
                RETURN if message.reply_to == self.serial => return Ok(message),
                ERROR if message.reply_to == self.serial => {
                    let words = message.body().string().unwrap_or_default();
                    fail!("{method}: {words} ({})", message.error)
                }
                _ => {}
            }
        }
    }

    /// Waits for a signal `member` for which `wanted` returns a value, and returns this value.
    /// Fails if no such signal arrives within 30 seconds, or if `wanted` fails.
    pub fn signal<T>(
        &mut self,
        member: &str,
        mut wanted: impl FnMut(Reader<'_>) -> Result<Option<T>>,
    ) -> Result<T> {
        self.deadline = Instant::now() + self.max_wait;
        loop {
            let message =
                if self.signals.is_empty() { self.read()? } else { self.signals.remove(0) };
            if message.kind == SIGNAL
                && message.member == member
                && let Some(found) = wanted(message.body())?
            {
                return Ok(found);
            }
        }
    }

    /// Waits until `transfer` has moved some bytes. Returns their number. Fails at the deadline, or
    /// if the bus closes the connection. `limit` sets the socket's timeout for the transfer.
    fn wait(
        &mut self,
        limit: fn(&UnixStream, Option<Duration>) -> std::io::Result<()>,
        mut transfer: impl FnMut(&mut UnixStream) -> std::io::Result<usize>,
    ) -> Result<usize> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                fail!("the bus did not answer within {} s", self.max_wait.as_secs());
            }
            limit(&self.stream, Some(left)).context(|| "limit the wait for the bus")?;
            match transfer(&mut self.stream) {
                Ok(0) => fail!("the bus closed the connection"),
                Ok(length) => return Ok(length),
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error).context(|| "exchange messages with the bus"),
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let length = self.wait(UnixStream::set_write_timeout, |stream| stream.write(bytes))?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.exactly(1)?);
            if line.len() > MAX_LINE {
                fail!("the bus answers with a line of more than {MAX_LINE} bytes");
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let rest = &mut bytes[filled..];
            filled += self.wait(UnixStream::set_read_timeout, |stream| stream.read(rest))?;
        }
        Ok(bytes)
    }

    fn read(&mut self) -> Result<Message> {
        let start = self.exactly(16)?;
        if start[0] != OWN {
            fail!("the bus speaks another byte order");
        }
        let number = |at: usize| {
            u32::from_ne_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]) as usize
        };
        let (body, fields) = (number(4), number(12));
        if body > MAX_MESSAGE || fields > MAX_MESSAGE {
            fail!("a message of the bus has more than {MAX_MESSAGE} bytes");
        }
        // Padding after the fields ends the header at a multiple of 8. The fields start at byte 16,
        // so the size of the padding depends only on their length.
        let header = self.exactly(fields.next_multiple_of(8))?;
        let mut message =
            Message { kind: start[1], body: self.exactly(body)?, ..Message::default() };
        let mut reader = Reader { bytes: &header[..fields], at: 0 };
        while reader.at < fields {
            reader.align(8);
            let code = reader.take(1)?[0];
            let kind = reader.signature()?;
            match (kind.as_str(), code) {
                ("u", 5) => message.reply_to = reader.number()?,
                ("u", _) => drop(reader.number()?),
                ("s", 3) => message.member = reader.string()?,
                ("s", 4) => message.error = reader.string()?,
                ("s" | "o", _) => drop(reader.string()?),
                ("g", _) => drop(reader.signature()?),
                _ => fail!("a message of the bus has a field of type '{kind}'"),
            }
        }
        Ok(message)
    }
}

fn encode(serial: u32, object: &Object, method: &str, body: &Body) -> Vec<u8> {
    let mut message = Body { signature: String::new(), bytes: vec![OWN, CALL, 0, 1] };
    message.number(body.bytes.len() as u32);
    message.number(serial);
    message.array(8, |fields| {
        let texts = [
            (1, "o", object.path),
            (2, "s", object.interface),
            (3, "s", method),
            (6, "s", object.service),
        ];
        for (code, kind, text) in texts {
            fields.align(8);
            fields.bytes.push(code);
            fields.signature(kind);
            fields.string(text);
        }
        if !body.signature.is_empty() {
            fields.align(8);
            fields.bytes.push(8);
            fields.signature("g");
            fields.signature(&body.signature);
        }
    });
    message.align(8);
    message.bytes.extend(&body.bytes);
    message.bytes
}

/// The path of the system bus's socket, from DBUS_SYSTEM_BUS_ADDRESS or the default. Fails if the
/// variable names no socket path.
pub fn system_bus() -> Result<String> {
    let Ok(addresses) = std::env::var("DBUS_SYSTEM_BUS_ADDRESS") else {
        return Ok("/run/dbus/system_bus_socket".to_owned());
    };
    let paths = addresses.split(';').filter_map(|address| address.strip_prefix("unix:path="));
    let path = paths.map(|path| path.split(',').next().unwrap_or(path)).next();
    path.map(str::to_owned).ok_or_else(|| {
        Error::new(format!("DBUS_SYSTEM_BUS_ADDRESS '{addresses}' has no unix:path=…"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal without header fields. No step of `Connection` waits for such a signal.
    const OTHER: [u8; 16] = [OWN, SIGNAL, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_bus_that_never_answers_is_left_in_the_end() {
        let error = |chunk: &'static [u8], step: fn(&mut Connection) -> Result<()>| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut connection = Connection::over(ours, Duration::from_millis(200));
            let bus = std::thread::spawn(move || {
                // A piece arrives before any single read times out, so only the limit on the whole
                // step ends the step.
                while theirs.write_all(chunk).is_ok() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let error = step(&mut connection).unwrap_err().to_string();
            drop(connection);
            bus.join().unwrap();
            error
        };
        let call =
            |connection: &mut Connection| connection.call(&BUS, "Hello", Body::default()).map(drop);
        let signal = |connection: &mut Connection| {
            connection.signal("JobRemoved", |_| Ok(Some(()))).map(drop)
        };
        for (chunk, step) in [
            (&OTHER[..], call as fn(&mut Connection) -> Result<()>),
            (&OTHER[..], signal),
            (b"O", |connection| connection.line().map(drop)),
        ] {
            assert!(error(chunk, step).contains("did not answer within"));
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut connection = Connection::over(ours, MAX_WAIT);
        assert!(connection.line().unwrap_err().to_string().contains("closed the connection"));
    }
}
