//! The verifier of a server's certificate. It also accepts what webpki refuses in two cases: a
//! self-signed certificate that the user named, and any certificate of a registry that is not
//! verified (`--tls-verify=false`, `insecure` in the settings). In both cases rustls checks the
//! signatures of the handshake. `tls` decides what is accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

/// Verifies a server's certificate by `accepted`.
#[derive(Debug)]
pub struct Verifier {
    pub accepted: Accepted,
    pub provider: Arc<CryptoProvider>,
}

/// The certificates that a verifier accepts.
#[derive(Debug)]
pub enum Accepted {
    /// Any certificate.
    Any,
    /// The certificates that webpki accepts, and also a self-signed certificate that has the
    /// server's name and is in `named`, the certificates in the user's files. openssl's defaults
    /// mark a self-signed certificate as an authority, and webpki refuses the certificate of an
    /// authority for a server.
    Trusted { webpki: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>> },
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Accepted::Trusted { webpki, named } = &self.accepted else {
            return Ok(ServerCertVerified::assertion());
        };
        match webpki.verify_server_cert(server, intermediates, name, ocsp, now) {
            // The dates of the certificate are valid here: webpki checks them first, and reports
            // invalid dates with other errors.
            Err(rustls::Error::InvalidCertificate(error))
                if is_self_signed(&error) && named.contains(server) =>
            {
                verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether webpki refused the server's certificate because it is marked as an authority, as openssl
/// marks self-signed certificates. rustls has no variant for this reason, so compare its text.
pub fn is_self_signed(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(reason) if reason.to_string() == "CaUsedAsEndEntity")
}
