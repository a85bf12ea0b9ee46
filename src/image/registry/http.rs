//! The part of HTTP/1.1 (RFC 9110, RFC 9112) that registries need: one request at a time on a
//! connection, bodies by length, in chunks or up to the end of the connection, and connections that
//! are kept for the next request.
//!
//! No library fits. As measured, the smallest library with redirects and proxies added 0.3 MB. Its
//! timeouts cover whole bodies, but a download needs a timeout for stalls. This file limits heads,
//! chunk lines and the rest of a body that it drains; its callers limit bodies.
//! `Failure::is_transient` says whether to try again.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use super::url::Url;
use crate::error::{Error, Result};
use crate::time::Instant;

/// The longest status line and headers together, in bytes.
const MAX_HEAD: u64 = 64 << 10;
/// The longest line that gives a chunk's length, in bytes.
const MAX_CHUNK_LINE: u64 = 1 << 10;
/// The most heads of one answer: informational ones (1xx), then the final one.
const MAX_INFORMATIONAL: usize = 8;
/// The longest rest of a body that is read to keep the connection, in bytes.
const MAX_DRAIN: u64 = 64 << 10;
const BUFFER: usize = 64 << 10;

/// A connected byte stream, plain or TLS.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A buffered connection.
pub type Connection = BufReader<Box<dyn Stream>>;

/// Returns a buffered connection over `stream`.
pub fn connection(stream: Box<dyn Stream>) -> Connection {
    BufReader::with_capacity(BUFFER, stream)
}

/// Why a request failed.
#[derive(Debug)]
pub struct Failure {
    pub error: Error,
    pub cause: Cause,
}

/// What a failed request means for the next try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// Another try would fail too.
    Permanent,
    /// Another try may succeed, but not before `after` if the server named a time.
    Transient { after: Option<Duration> },
    /// There was no connection at all.
    Unreachable,
    /// The server doesn't speak TLS.
    NoTls,
    /// The server answered with this status, which is an error or a redirect that the client does
    /// not follow (RFC 9110, section 15). `after` comes from the answer's Retry-After.
    Refused { status: u16, after: Option<Duration> },
}

impl Failure {
    /// Returns a failure that another try would meet too.
    pub fn permanent(error: impl Into<Error>) -> Failure {
        Failure { error: error.into(), cause: Cause::Permanent }
    }

    /// Returns a permanent failure with the text `message`.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure::permanent(Error::new(message))
    }

    /// Returns a failure after which the request is worth repeating.
    pub fn transient(error: impl Into<Error>) -> Failure {
        Failure { error: error.into(), cause: Cause::Transient { after: None } }
    }

    /// Whether the request is worth repeating.
    pub fn is_transient(&self) -> bool {
        match self.cause {
            Cause::Transient { .. } => true,
            Cause::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Cause::Permanent | Cause::Unreachable | Cause::NoTls => false,
        }
    }

    /// Returns how long the server wants the client to wait before the next try.
    pub fn after(&self) -> Option<Duration> {
        match self.cause {
            Cause::Transient { after } | Cause::Refused { after, .. } => after,
            Cause::Permanent | Cause::Unreachable | Cause::NoTls => None,
        }
    }

    /// Returns the status with which the server refused the request.
    pub fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether the cause is neither `Unreachable` nor `Transient`. So `Refused` counts as the
    /// registry's own answer, even if the request is worth repeating.
    pub fn is_of_registry(&self) -> bool {
        !matches!(self.cause, Cause::Unreachable | Cause::Transient { .. })
    }

    /// Adds the action of the caller to the error.
    pub fn context(mut self, doing: impl FnOnce() -> String) -> Failure {
        self.error = crate::error::Context::context(Err::<(), _>(self.error), doing).unwrap_err();
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::permanent(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        failure.error
    }
}

/// The result of a request.
pub type Attempt<T> = Result<T, Failure>;

/// The body of a request.
pub enum Payload<'a> {
    Empty,
    Bytes(&'a [u8]),
    /// A stream, with its length if that is known. A stream without a length is sent in chunks.
    Stream(&'a mut (dyn Read + Send), Option<u64>),
    /// No body; after the answer the connection carries another protocol.
    Tunnel,
}

impl Payload<'_> {
    /// Returns the same body, to send it again. Returns `None` for a tunnel, and also for a stream,
    /// because a part of the stream may already be read.
    pub fn again(&self) -> Option<Payload<'_>> {
        match self {
            Payload::Empty => Some(Payload::Empty),
            Payload::Bytes(bytes) => Some(Payload::Bytes(bytes)),
            Payload::Stream(..) | Payload::Tunnel => None,
        }
    }
}

/// A request without its body.
pub struct Request<'a> {
    pub method: &'static str,
    pub url: &'a Url,
    /// Additional headers. [`exchange`] adds `Host`, `User-Agent` and the headers for the body.
    pub headers: &'a [(&'static str, String)],
    /// Whether the request line has the whole URL, as a proxy expects.
    pub absolute: bool,
}

/// A response's status and headers.
#[derive(Debug, Default)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    /// The body comes in chunks. The number is how many bytes of the current chunk are left. It is
    /// `None` before the first chunk.
    Chunked(Option<u64>),
    Close,
    Ended,
}

/// A response's body, to read once.
pub struct Body {
    connection: Option<Connection>,
    framing: Framing,
    reusable: bool,
    /// The value of `Content-Encoding` in lower case, if there is one.
    encoding: Option<String>,
}

impl Head {
    /// Returns the first header with this name, which must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns all headers with this name, which must be in lower case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns how long the server wants the client to wait. The server sends seconds or a date
    /// (RFC 9110, 10.2.3). The wait until a date is counted from the answer's `Date` header, if
    /// there is one, because this machine's clock may be wrong.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?;
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let now = self.header("date").and_then(parse_date).unwrap_or_else(Instant::now);
        let seconds = parse_date(value)?.seconds().saturating_sub(now.seconds());
        Some(Duration::from_secs(seconds.try_into().unwrap_or_default()))
    }

    /// Returns when the file was last changed, in seconds since 1970 (RFC 9110, 8.8.2).
    pub fn modified(&self) -> Option<i64> {
        self.header("last-modified").and_then(parse_date).map(|time| time.seconds())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).any(|value| value.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }
}

/// Sends the request and reads the response's head. Fails if a header has a control character, if
/// the payload can't be read or does not have its stated length, if the connection breaks or stalls
/// without a response, or if the response is malformed.
pub fn exchange(
    mut connection: Connection,
    request: &Request<'_>,
    payload: Payload<'_>,
) -> io::Result<(Head, Body)> {
    let method = request.method;
    let tunnel = matches!(payload, Payload::Tunnel);
    // A server that has read enough may answer and close before everything is written. Its answer
    // says more than the broken pipe, so return the answer if it can be read.
    let sent = send(connection.get_mut(), request, payload);
    let head = match (sent, &mut connection) {
        (Ok(()), connection) => read_head(connection)?,
        (Err(Unsent::Broken(error)), connection) if is_closed(&error) => {
            read_head(connection).map_err(|_| error)?
        }
        // The request is incomplete, so don't wait for an answer.
        (Err(Unsent::Source(error) | Unsent::Broken(error)), _) => return Err(error),
    };
    let framing = if tunnel { Framing::Close } else { framing(method, &head)? };
    let reusable = !head.has_token("connection", "close") && framing != Framing::Close;
    let encoding = head.header("content-encoding").map(str::to_ascii_lowercase);
    Ok((head, Body { connection: Some(connection), framing, reusable, encoding }))
}

/// Parses the form of a date that servers must send: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110,
/// 5.6.7).
fn parse_date(text: &str) -> Option<Instant> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Instant::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Why a request was not sent completely.
enum Unsent {
    /// The body could not be read or had another length, or a header had a control character.
    Source(io::Error),
    Broken(io::Error),
}

impl From<io::Error> for Unsent {
    fn from(error: io::Error) -> Unsent {
        Unsent::Broken(error)
    }
}

fn send(
    stream: &mut dyn Stream,
    request: &Request<'_>,
    payload: Payload<'_>,
) -> Result<(), Unsent> {
    let Request { method, url, headers, absolute } = request;
    let target = if *absolute { url.to_string() } else { url.target.clone() };
    let version = env!("CARGO_PKG_VERSION");
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mydocker/{version}\r\n",
        url.origin.authority()
    );
    for (name, value) in *headers {
        // A value can be text from another machine, which must not add another header.
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            let message = format!("a control character in the header {name}");
            return Err(Unsent::Source(io::Error::other(message)));
        }
        head += &format!("{name}: {value}\r\n");
    }
    match &payload {
        Payload::Empty if matches!(*method, "GET" | "HEAD") => {}
        Payload::Tunnel => {}
        Payload::Empty => head += "Content-Length: 0\r\n",
        Payload::Bytes(bytes) => head += &format!("Content-Length: {}\r\n", bytes.len()),
        Payload::Stream(_, Some(length)) => head += &format!("Content-Length: {length}\r\n"),
        Payload::Stream(_, None) => head += "Transfer-Encoding: chunked\r\n",
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    match payload {
        Payload::Empty | Payload::Tunnel => {}
        Payload::Bytes(bytes) => stream.write_all(bytes)?,
        Payload::Stream(body, Some(length)) => {
            let sent = copy_to(body, stream)?;
            if sent != length {
                let message = format!("a body of {sent} bytes that should have {length}");
                return Err(Unsent::Source(io::Error::other(message)));
            }
        }
        Payload::Stream(body, None) => {
            let mut buffer = vec![0; BUFFER];
            loop {
                let count = body.read(&mut buffer).map_err(Unsent::Source)?;
                if count == 0 {
                    break;
                }
                stream.write_all(format!("{count:x}\r\n").as_bytes())?;
                stream.write_all(&buffer[..count])?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
    }
    Ok(stream.flush()?)
}

/// Sends a body unchanged. Returns its length.
fn copy_to(body: &mut dyn Read, stream: &mut dyn Stream) -> Result<u64, Unsent> {
    let mut buffer = vec![0; BUFFER];
    let mut sent = 0;
    loop {
        let count = body.read(&mut buffer).map_err(Unsent::Source)?;
        if count == 0 {
            return Ok(sent);
        }
        stream.write_all(&buffer[..count])?;
        sent += count as u64;
    }
}

fn read_head(connection: &mut Connection) -> io::Result<Head> {
    for _ in 0..MAX_INFORMATIONAL {
        let mut limited = connection.by_ref().take(MAX_HEAD);
        let head = parse_head(&mut limited)?;
        if !(100..200).contains(&head.status) {
            return Ok(head);
        }
    }
    Err(malformed("too many informational answers"))
}

fn parse_head(input: &mut dyn BufRead) -> io::Result<Head> {
    let status = line(input)?;
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(status) = code.and_then(|code| code.parse().ok()) else {
        return Err(malformed("not a status line of HTTP/1.1"));
    };
    let mut headers = Vec::new();
    loop {
        let line = line(input)?;
        if line.is_empty() {
            return Ok(Head { status, headers });
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(malformed("a header without a colon"));
        };
        if name.is_empty() || name.bytes().any(|byte| byte <= b' ') {
            return Err(malformed("a header's name with a space"));
        }
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// Reads a line without its end. Bytes that are not UTF-8 are replaced.
fn line(input: &mut dyn BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => {}
        Some(_) => return Err(malformed("the headers are cut off or too long")),
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn framing(method: &str, head: &Head) -> io::Result<Framing> {
    if method == "HEAD" || matches!(head.status, 204 | 304) {
        return Ok(Framing::Ended);
    }
    if head.header("transfer-encoding").is_some() {
        return if head.has_token("transfer-encoding", "chunked") {
            Ok(Framing::Chunked(None))
        } else {
            Err(malformed("an unknown transfer encoding"))
        };
    }
    let mut lengths = head.all("content-length").flat_map(|value| value.split(','));
    let Some(length) = lengths.next() else { return Ok(Framing::Close) };
    if lengths.any(|other| other.trim() != length.trim()) {
        return Err(malformed("two lengths"));
    }
    match length.trim().parse() {
        Ok(0) => Ok(Framing::Ended),
        Ok(length) => Ok(Framing::Length(length)),
        Err(_) => Err(malformed("a bad length")),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed HTTP response: {what}"))
}

impl Body {
    /// Drains this body and returns the connection for another request. Returns `None` if the rest
    /// of the body is longer than `MAX_DRAIN` or can't be read, or if the connection ends with this
    /// body.
    pub fn recycle(mut self) -> Option<Connection> {
        let drained = io::copy(&mut self.by_ref().take(MAX_DRAIN), &mut io::sink());
        let whole = drained.is_ok() && self.framing == Framing::Ended;
        self.connection.take_if(|_| whole && self.reusable)
    }

    /// Decodes `bytes`, the whole of this body. Returns at most `limit` bytes of a decoded body. No
    /// request asks for an encoding, but servers and caches may send the encoding that they store.
    /// Plain JSON is accepted too, because some servers name an encoding that they have removed.
    /// Fails on an unknown encoding and on broken gzip.
    pub fn decode(&self, bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
        let Some(encoding) = self.encoding.as_deref() else { return Ok(bytes) };
        let is_text = bytes.first().is_none_or(|first| matches!(first, b'{' | b'[' | b' ' | b'\n'));
        match encoding {
            _ if is_text => Ok(bytes),
            "gzip" | "x-gzip" => {
                let mut plain = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(&bytes[..]).take(limit);
                let broken = |error| {
                    let message = format!("an answer in gzip that is broken: {error}");
                    io::Error::new(io::ErrorKind::InvalidData, message)
                };
                decoder.read_to_end(&mut plain).map_err(broken)?;
                Ok(plain)
            }
            other => {
                let message = format!("an answer in the encoding '{}'", other.escape_debug());
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
        }
    }

    /// Returns the stream itself, after the other side has agreed to another protocol. Returns
    /// `None` if the other side has already sent bytes of that protocol.
    pub fn into_stream(self) -> Option<Box<dyn Stream>> {
        // Return the stream only if no bytes are buffered, because buffered bytes would be lost.
        let connection = self.connection.filter(|connection| connection.buffer().is_empty());
        connection.map(BufReader::into_inner)
    }

    /// Reads up to the next chunk. Returns its length, or `None` after the last chunk.
    fn next_chunk(connection: &mut Connection, first: bool) -> io::Result<Option<u64>> {
        if !first && !line(&mut connection.by_ref().take(MAX_CHUNK_LINE))?.is_empty() {
            return Err(malformed("no end of line after a chunk"));
        }
        let length = line(&mut connection.by_ref().take(MAX_CHUNK_LINE))?;
        let digits = length.split(';').next().unwrap_or_default().trim();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(digits, 16) {
            Ok(0) if plain => {
                let mut trailers = connection.by_ref().take(MAX_HEAD);
                while !line(&mut trailers)?.is_empty() {}
                Ok(None)
            }
            Ok(length) if plain => Ok(Some(length)),
            _ => Err(malformed("a bad chunk length")),
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        if let Framing::Chunked(left @ (None | Some(0))) = self.framing {
            self.framing = match Body::next_chunk(connection, left.is_none())? {
                Some(length) => Framing::Chunked(Some(length)),
                None => Framing::Ended,
            };
        }
        let limit = match self.framing {
            Framing::Ended => return Ok(0),
            Framing::Length(left) | Framing::Chunked(Some(left)) => left,
            Framing::Close | Framing::Chunked(None) => u64::MAX,
        };
        let wanted = buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let count = connection.read(&mut buffer[..wanted])?;
        match &mut self.framing {
            Framing::Close if count == 0 => self.framing = Framing::Ended,
            _ if count == 0 && wanted > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Framing::Length(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.framing = Framing::Ended;
                }
            }
            Framing::Chunked(Some(left)) => *left -= count as u64,
            _ => {}
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with fixed bytes, and ignores the bytes that are written to it.
    struct Canned(io::Cursor<Vec<u8>>);

    impl Read for Canned {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Canned {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(answer: &str) -> io::Result<(Head, Body)> {
        let url = Url::parse("http://h/").unwrap();
        let stream = Canned(io::Cursor::new(answer.as_bytes().to_vec()));
        let request = Request { method: "GET", url: &url, headers: &[], absolute: false };
        exchange(connection(Box::new(stream)), &request, Payload::Empty)
    }

    fn body(answer: &str) -> io::Result<String> {
        let mut text = String::new();
        ask(answer)?.1.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn bodies_end_in_four_ways() {
        let head = "HTTP/1.1 200 OK\r\n";
        for (rest, text) in [
            ("Content-Length: 5\r\n\r\nhello, and more", "hello"),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
                "hello",
            ),
            ("\r\nhello", "hello"),
            ("Content-Length: 0\r\n\r\n", ""),
        ] {
            assert_eq!(body(&format!("{head}{rest}")).unwrap(), text, "{rest}");
        }
        let informed = format!("HTTP/1.1 100 Continue\r\n\r\n{head}content-length:2\r\n\r\nok");
        assert_eq!(body(&informed).unwrap(), "ok");
    }

    #[test]
    fn what_is_cut_or_malformed_is_an_error() {
        for answer in [
            "",
            "HTTP/1.1 200",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000)),
            &("HTTP/1.1 100 C\r\n\r\n".repeat(20) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ] {
            assert!(body(answer).is_err(), "{answer:.60}");
        }
    }

    #[test]
    fn a_compressed_document_is_read_up_to_the_limit() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[b'x'; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n";
        let (_, body) = ask(head).unwrap();
        assert_eq!(body.decode(packed.clone(), 1000).unwrap().len(), 1000);
        assert_eq!(body.decode(packed, 200_000).unwrap().len(), 100_000);
    }

    #[test]
    fn a_header_with_a_control_character_is_not_sent() {
        let url = Url::parse("http://h/").unwrap();
        for (value, sent) in [("a", true), ("a\tb", true), ("a\r\nB: c", false), ("a\x7f", false)] {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
            let headers = [("A", value.to_owned())];
            let request = Request { method: "GET", url: &url, headers: &headers, absolute: false };
            let stream = Box::new(Canned(io::Cursor::new(answer)));
            let result = exchange(connection(stream), &request, Payload::Empty);
            assert_eq!(result.is_ok(), sent, "{value:?}");
        }
    }

    #[test]
    fn a_wait_is_said_in_seconds_or_by_a_date() {
        let wait = |headers: &str| {
            let answer = format!("HTTP/1.1 429 X\r\n{headers}Content-Length: 0\r\n\r\n");
            ask(&answer).unwrap().0.retry_after().map(|wait| wait.as_secs())
        };
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert_eq!(wait("Retry-After: 7\r\n"), Some(7));
        let later = format!("{date}Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n");
        assert_eq!(wait(&later), Some(30));
        let earlier = format!("{date}Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\n");
        assert_eq!(wait(&earlier), Some(0));
        // Without a date in the answer, this machine's clock counts.
        assert_eq!(wait("Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\n"), Some(0));
        assert_eq!(wait("Retry-After: soon\r\n"), None);
        assert_eq!(wait("Retry-After: Sun, 06 Now 1994 08:00:00 GMT\r\n"), None);
    }

    #[test]
    fn connections_are_kept_when_the_body_was_read() {
        let kept = |answer: &str| ask(answer).unwrap().1.recycle().is_some();
        assert!(kept("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok"));
        assert!(!kept("HTTP/1.1 200 OK\r\n\r\nok"));
    }
}
