//! A proxy in front of the registry that imitates the faults of networks: it cuts, corrupts,
//! stalls, refuses and redirects. It keeps a list of all requests.
//!
//! A function of the test judges each request and chooses its fault.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the proxy does with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    None,
    /// Closes the connection after this many bytes of the body.
    Cut(usize),
    /// Changes the byte at this offset of the body.
    Corrupt(usize),
    /// Sends this many bytes of the body, waits for this time, and closes the connection.
    Stall(usize, Duration),
    /// The proxy itself answers, with this status and these headers, each with its line end.
    Answer(u16, String),
    /// The proxy itself answers with status 200, this media type and this body.
    Document(&'static str, String),
    /// The proxy itself answers with status 200, this `Content-Encoding` and this body.
    Encoded(&'static str, Vec<u8>),
    /// Sends this many bytes of the body at once, then one byte per interval.
    Drip(usize, Duration),
    /// Sends pieces of this many bytes of the body, one piece per interval.
    Trickle(usize, Duration),
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Pairs of a name in lower case and a value.
    pub headers: Vec<(String, String)>,
    pub at: Instant,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn is_blob(&self) -> bool {
        self.method == "GET" && self.target.contains("/blobs/")
    }
}

pub struct Proxy {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    /// A proxy in front of the server at `upstream`. `judge` gets each request, and how many
    /// requests with the same method and target came before.
    pub fn before(
        upstream: &str,
        judge: impl Fn(&Asked, usize) -> Fault + Send + Sync + 'static,
    ) -> Proxy {
        Proxy::start("127.0.0.1:0", upstream, false, judge)
    }

    /// A proxy on an IPv6 address.
    pub fn on_ipv6(upstream: &str) -> Proxy {
        Proxy::start("[::1]:0", upstream, false, |_, _| Fault::None)
    }

    /// A proxy that removes `Range` from requests.
    pub fn forgetting_ranges(
        upstream: &str,
        judge: impl Fn(&Asked, usize) -> Fault + Send + Sync + 'static,
    ) -> Proxy {
        Proxy::start("127.0.0.1:0", upstream, true, judge)
    }

    fn start(
        listen: &str,
        upstream: &str,
        forget_ranges: bool,
        judge: impl Fn(&Asked, usize) -> Fault + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind(listen).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (upstream, seen, judge) = (upstream.to_owned(), Arc::clone(&asked), Arc::new(judge));
        // This thread ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, seen, judge) =
                    (upstream.clone(), Arc::clone(&seen), Arc::clone(&judge));
                std::thread::spawn(move || {
                    // Ignore an error: either side may have closed the connection.
                    let _ = serve(client, &upstream, forget_ranges, &seen, &*judge);
                });
            }
        });
        Proxy { address, asked }
    }

    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Reads the head of a request.
pub fn read_request(input: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            return Some(Asked { method, target, headers, at: Instant::now() });
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
}

fn serve(
    client: TcpStream,
    upstream: &str,
    forget_ranges: bool,
    seen: &Mutex<Vec<Asked>>,
    judge: &dyn Fn(&Asked, usize) -> Fault,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    // Serve only one request per connection.
    let Some(asked) = read_request(&mut reader) else { return Ok(()) };
    let before = {
        let mut seen = seen.lock().unwrap();
        let like =
            |other: &&Asked| (&other.method, &other.target) == (&asked.method, &asked.target);
        let before = seen.iter().filter(like).count();
        seen.push(asked.clone());
        before
    };
    let fault = judge(&asked, before);
    if let Fault::Answer(status, headers) = &fault {
        let head = format!("HTTP/1.1 {status} Told\r\n{headers}Content-Length: 0\r\n");
        client.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        // Read the body before the close: with unread data, closing would send a reset, which may
        // overtake the answer.
        client.shutdown(std::net::Shutdown::Write)?;
        return std::io::copy(&mut reader, &mut std::io::sink()).map(drop);
    }
    if let Fault::Encoded(encoding, body) = &fault {
        let head = format!("Content-Encoding: {encoding}\r\nContent-Length: {}\r\n", body.len());
        client
            .write_all(format!("HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n").as_bytes())?;
        return client.write_all(body);
    }
    if let Fault::Document(media_type, body) = &fault {
        let head = format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n", body.len());
        let answer = format!("HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n{body}");
        return client.write_all(answer.as_bytes());
    }
    if asked.method == "CONNECT" {
        return tunnel(client, reader, upstream);
    }
    let mut server = TcpStream::connect(upstream)?;
    let path = match asked.target.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').unwrap_or(rest.len())..],
        None => &asked.target,
    };
    let mut head = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", asked.method);
    for (name, value) in &asked.headers {
        let forgotten = name == "connection" || forget_ranges && name == "range";
        if !forgotten && !name.starts_with("proxy-") {
            head += &format!("{name}: {value}\r\n");
        }
    }
    server.write_all(format!("{head}\r\n").as_bytes())?;
    let length = asked.header("content-length").and_then(|length| length.parse().ok());
    if let Some(length) = length {
        std::io::copy(&mut reader.by_ref().take(length), &mut server)?;
    } else if asked.header("transfer-encoding").is_some() {
        // This thread ends when the client closes the connection.
        let mut server = server.try_clone()?;
        std::thread::spawn(move || std::io::copy(&mut reader, &mut server));
    }
    let mut answer = BufReader::new(server);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        answer.read_line(&mut line)?;
        if !line.to_lowercase().starts_with("connection:") {
            if line == "\r\n" {
                client.write_all(b"Connection: close\r\n")?;
            }
            client.write_all(line.as_bytes())?;
        }
    }
    match fault {
        Fault::Cut(after) => {
            std::io::copy(&mut answer.take(after as u64), &mut client)?;
        }
        Fault::Stall(after, pause) => {
            std::io::copy(&mut answer.by_ref().take(after as u64), &mut client)?;
            std::thread::sleep(pause);
        }
        Fault::Corrupt(at) => {
            std::io::copy(&mut answer.by_ref().take(at as u64), &mut client)?;
            let mut byte = [0];
            if answer.read(&mut byte)? == 1 {
                client.write_all(&[!byte[0]])?;
            }
            std::io::copy(&mut answer, &mut client)?;
        }
        Fault::Drip(after, pause) => {
            std::io::copy(&mut answer.by_ref().take(after as u64), &mut client)?;
            let mut byte = [0];
            while answer.read(&mut byte)? == 1 {
                client.write_all(&byte)?;
                std::thread::sleep(pause);
            }
        }
        Fault::Trickle(piece, pause) => {
            while std::io::copy(&mut answer.by_ref().take(piece as u64), &mut client)? > 0 {
                std::thread::sleep(pause);
            }
        }
        Fault::None | Fault::Answer(..) | Fault::Document(..) | Fault::Encoded(..) => {
            std::io::copy(&mut answer, &mut client)?;
        }
    }
    Ok(())
}

/// Answers CONNECT by a tunnel to the registry, whatever the requested name is.
fn tunnel(
    mut client: TcpStream,
    mut reader: BufReader<TcpStream>,
    upstream: &str,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let mut back = (server.try_clone()?, client.try_clone()?);
    let backward = std::thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
    let _ = std::io::copy(&mut reader, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Write);
    let _ = backward.join();
    Ok(())
}
