//! What the harness's own binary does in the guests: it is static, and runs in any container too.
//! Its name tells what is wanted of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustix::process::{chdir, chroot};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::registry;

/// Names of tools, as they lie in the share.
pub const NAMES: [&str; 2] = ["escape", "tls"];

/// Where TLS is spoken before the registry.
const TLS_ADDRESS: &str = "127.0.0.1:5443";

/// Does what `name` asks for; false if that is no tool.
pub fn run(name: &str) -> bool {
    match name {
        "escape" => escape(),
        "tls" => tls(),
        _ => return false,
    }
    true
}

/// The classic way out of a chroot, tried from inside a container (chroot(2), NOTES). Says where it
/// ended up: `inside`, or `outside` if it can see the host's /share.
fn escape() {
    const JAIL: &str = "/tmp/jail";
    fs::create_dir_all(JAIL).expect("make a directory");
    chdir("/").expect("go to /");
    // The working directory stays above the new root, where `..` stops at nothing.
    chroot(JAIL).expect("chroot into the directory");
    for _ in 0..64 {
        chdir("..").expect("go up");
    }
    chroot(".").expect("chroot out of it");
    let outside = std::path::Path::new("/share").exists() || !std::path::Path::new("/tmp").exists();
    println!("{}", if outside { "outside" } else { "inside" });
}

/// The registry over TLS, with the certificate in the share: one request a connection.
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
        // A client that doesn't trust the certificate goes away: no concern of the next.
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
    // httpd closes after each answer.
    server.shutdown(std::net::Shutdown::Write)?;
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}
