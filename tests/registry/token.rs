//! A token server for docker-registry. The tokens are JSON web tokens, signed by openssl.
//!
//! The server keeps a list of its requests. Its first tokens can be stale, so that a test sees how
//! a client renews a token. The server knows one user.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::proxy::read_request;
use crate::server::succeeds;

/// The requests that the server accepts.
#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    /// GET and POST.
    Get,
    /// Every GET gets status 405.
    PostOnly,
}

pub struct TokenServer {
    pub address: String,
    dir: PathBuf,
    /// The method and the query or form of each request.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl TokenServer {
    /// Starts the server. A token for one of the first `stale` requests has already expired. A
    /// client needs the user `me` with the password `secret`, or the refresh token `kept`.
    pub fn start(dir: &Path, form: Form, stale: usize) -> TokenServer {
        fs::create_dir_all(dir).unwrap();
        let subject = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=tokens";
        let files = "-keyout token.key -out token.crt";
        succeeds(
            Command::new("openssl")
                .args(subject.split(' '))
                .args(files.split(' '))
                .current_dir(dir),
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let server = TokenServer { address, dir: dir.to_owned(), asked: Arc::clone(&asked) };
        let dir = dir.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                serve(client, &dir, &asked, form, stale);
            }
        });
        server
    }

    /// The settings for a registry that accepts the tokens of this server.
    pub fn settings(&self) -> String {
        format!(
            "auth:\n  token:\n    realm: http://{}/token\n    service: tested\n    issuer: tests\n    \
             rootcertbundle: {}/token.crt\n",
            self.address,
            self.dir.display()
        )
    }

    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    dir: &Path,
    asked: &Mutex<Vec<(String, String)>>,
    form: Form,
    stale: usize,
) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let Some(request) = read_request(&mut reader) else { return };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let (_, query) = request.target.split_once('?').unwrap_or_default();
    let parameters = match request.method.as_str() {
        "POST" => String::from_utf8(body).unwrap(),
        _ => query.to_owned(),
    };
    let count = {
        let mut asked = asked.lock().unwrap();
        asked.push((request.method.clone(), parameters.clone()));
        asked.len()
    };
    // The credentials are `me:secret`.
    let basic = request.header("authorization") == Some("Basic bWU6c2VjcmV0");
    let posted = parameters.contains("username=me") && parameters.contains("password=secret")
        || parameters.contains("refresh_token=kept");
    let answer = match request.method.as_str() {
        "GET" if form == Form::PostOnly => Err(405),
        "GET" if basic => Ok(()),
        "POST" if posted => Ok(()),
        _ => Err(401),
    };
    let text = match answer {
        Ok(()) => {
            let token = token(dir, &parameters, count <= stale);
            let keep = parameters.contains("offline");
            let refresh = if keep { r#","refresh_token":"kept""# } else { "" };
            let body = format!(r#"{{"access_token":"{token}"{refresh}}}"#);
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        Err(status) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
    };
    let _ = client.write_all(text.as_bytes());
}

/// A token that grants the requested access.
fn token(dir: &Path, parameters: &str, is_stale: bool) -> String {
    let mut access = Vec::new();
    for parameter in parameters.split('&') {
        let scopes = parameter.strip_prefix("scope=").unwrap_or_default();
        for scope in scopes.split("%20") {
            let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
            let parts: Vec<&str> = scope.split(':').collect();
            if let [kind, name, actions] = parts[..] {
                let actions = actions.replace(',', "\",\"");
                access.push(format!(
                    r#"{{"type":"{kind}","name":"{name}","actions":["{actions}"]}}"#
                ));
            }
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let end = if is_stale { now - 3600 } else { now + 3600 };
    let certificate: String = fs::read_to_string(dir.join("token.crt"))
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let header = format!(r#"{{"typ":"JWT","alg":"RS256","x5c":["{certificate}"]}}"#);
    let claims = format!(
        r#"{{"iss":"tests","sub":"me","aud":"tested","exp":{end},"nbf":{},"iat":{},"jti":"{now}",
        "access":[{}]}}"#,
        now - 7200,
        now - 7200,
        access.join(",")
    );
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign", "token.key"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    let signature = openssl.wait_with_output().unwrap().stdout;
    format!("{signed}.{}", encode(&signature))
}

/// Encodes `bytes` as base64url without padding (RFC 4648, section 5).
fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
