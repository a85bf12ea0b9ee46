//! Certificates of a test authority, made by openssl.
//!
//! `Certificates::before` starts a relay that ends TLS in front of a server that speaks plain HTTP.
//! The certificates are valid for 30 days, unless a test gives other dates for the server's
//! certificate. The host does not trust their authority.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::succeeds;

/// A directory with the authority's certificate `ca.crt`, and with the server's certificate
/// `server.crt` and its key `server.key`.
pub struct Certificates {
    pub dir: PathBuf,
}

impl Certificates {
    /// Makes an authority, and a server's certificate for 127.0.0.1, registry.test and Docker Hub.
    /// The server's certificate is valid between the two times of `validity` (`YYYYMMDDHHMMSSZ`).
    pub fn make(dir: &Path, validity: Option<(&str, &str)>) -> Certificates {
        fs::create_dir_all(dir).unwrap();
        let dir = dir.to_owned();
        let openssl = |line: &str| {
            succeeds(Command::new("openssl").args(line.split(' ')).current_dir(&dir));
        };
        openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj \
             /CN=authority -keyout ca.key -out ca.crt",
        );
        openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=registry \
             -keyout server.key -out server.csr",
        );
        fs::write(
            dir.join("ca.cnf"),
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
             default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\n\
             subjectAltName=IP:127.0.0.1,DNS:registry.test,DNS:registry-1.docker.io\n",
        )
        .unwrap();
        fs::write(dir.join("index"), "").unwrap();
        fs::write(dir.join("serial"), "01\n").unwrap();
        let dates = match validity {
            Some((begin, end)) => format!("-startdate {begin} -enddate {end}"),
            None => "-days 30".to_owned(),
        };
        openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key {dates} -in server.csr \
             -out server.crt"
        ));
        Certificates { dir }
    }

    /// A self-signed certificate for 127.0.0.1. openssl's default extensions make it an authority
    /// (CA:TRUE), so `ca.crt` is a copy of this certificate.
    pub fn of_itself(dir: &Path) -> Certificates {
        fs::create_dir_all(dir).unwrap();
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
                    -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out \
                    server.crt";
        succeeds(Command::new("openssl").args(line.split_whitespace()).current_dir(dir));
        fs::copy(dir.join("server.crt"), dir.join("ca.crt")).unwrap();
        Certificates { dir: dir.to_owned() }
    }

    /// Makes a directory with `client.cert`, signed by the authority, and its key `client.key`.
    pub fn make_client(&self) -> PathBuf {
        let client = self.dir.join("client");
        fs::create_dir_all(&client).unwrap();
        let openssl = |line: &str| {
            succeeds(Command::new("openssl").args(line.split(' ')).current_dir(&self.dir));
        };
        openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=client -keyout \
             client/client.key -out client.csr",
        );
        openssl(
            "x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out \
             client/client.cert",
        );
        client
    }

    /// Starts a TLS proxy in front of the plain server at `upstream`. Returns the proxy's address.
    pub fn before(&self, upstream: &str) -> String {
        let certificate = CertificateDer::from_pem_file(self.dir.join("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.dir.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let upstream = upstream.to_owned();
        // This thread ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (config, upstream) = (Arc::clone(&config), upstream.clone());
                std::thread::spawn(move || {
                    // Ignore an error: either side may have closed the connection.
                    let _ = relay(client, config, &upstream);
                });
            }
        });
        address
    }

    pub fn authority(&self) -> String {
        self.dir.join("ca.crt").to_str().unwrap().to_owned()
    }

    /// The settings of the registry below `http:`.
    pub fn settings(&self) -> String {
        let dir = self.dir.display();
        format!("  tls: {{certificate: {dir}/server.crt, key: {dir}/server.key}}\n")
    }

    /// As `settings`; clients must also send a certificate of the authority.
    pub fn settings_with_clients(&self) -> String {
        let dir = self.dir.display();
        format!(
            "  tls: {{certificate: {dir}/server.crt, key: {dir}/server.key, clientcas: \
             [{dir}/ca.crt]}}\n"
        )
    }
}

/// Copies in both directions until one side closes.
fn relay(client: TcpStream, config: Arc<ServerConfig>, upstream: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    }
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, client);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => server.write_all(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        loop {
            match server.read(&mut buffer) {
                Ok(0) => {
                    client.conn.send_close_notify();
                    return client.flush();
                }
                Ok(count) => client.write_all(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}
