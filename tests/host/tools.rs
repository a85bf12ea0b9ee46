//! Tools that the harness's own binary provides in the guests and containers, where it runs because
//! it is static. The name in argv[0] chooses the tool.
//!
//! busybox lacks these tools, and a guest has no compiler. A tool does one small thing and is no
//! part of mydocker.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustix::process::{chdir, chroot};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::registry;

/// The names of the tools, which are also their file names in the share.
pub const NAMES: [&str; 2] = ["escape", "tls"];

/// The address of the TLS proxy in front of the registry.
const TLS_ADDRESS: &str = "127.0.0.1:5443";

/// Runs the tool `name`. Returns false if there is no such tool.
pub fn run(name: &str) -> bool {
    match name {
        "escape" => escape(),
        "tls" => tls(),
        _ => return false,
    }
    true
}

/// Tries the classic escape from a chroot inside a container (chroot(2), NOTES). Prints `inside`,
/// or `outside` if it can see the host's /share.
fn escape() {
    const JAIL: &str = "/tmp/jail";
    fs::create_dir_all(JAIL).expect("make a directory");
    chdir("/").expect("go to /");
    // The working directory is still above the new root, where `..` is not stopped.
    chroot(JAIL).expect("chroot into the directory");
    for _ in 0..64 {
        chdir("..").expect("go up");
    }
    chroot(".").expect("chroot out of it");
    let outside = std::path::Path::new("/share").exists() || !std::path::Path::new("/tmp").exists();
    println!("{}", if outside { "outside" } else { "inside" });
}

/// Serves the registry over TLS with the certificate of the share, one request per connection.
fn tls() {
    let certificate = CertificateDer::from_pem_file("/share/tls.crt").expect("the certificate");
    let key = PrivateKeyDer::from_pem_file("/share/tls.key").expect("its key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the certificate with its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind(TLS_ADDRESS).expect("listen");
    println!("listening");
    for client in listener.incoming() {
        let client = client.expect("a connection");
        let config = config.clone();
        // Ignore an error: a client that does not trust the certificate closes the connection.
        std::thread::spawn(move || serve(client, config));
    }
}

fn serve(client: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).expect("a connection");
    let mut client = StreamOwned::new(connection, client);
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let mut server = TcpStream::connect(registry::ADDRESS)?;
    server.write_all(&request)?;
    let mut answer = Vec::new();
    // httpd closes the connection after each response.
    server.shutdown(std::net::Shutdown::Write)?;
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}
