//! TLS on both sides: 1.2 and 1.3, ALPN as PostgreSQL 17 has it.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::{NoServerSessionStorage, ParsedCertificate},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{Authorities, TlsConfig, UpstreamTls};

/// The name of PostgreSQL's protocol in ALPN. Where both sides say it, a handshake meant for another
/// service can't be passed off as one for a database.
pub const ALPN: &[u8] = b"postgresql";

/// Towards clients: reads certificate and key. A client that offers other protocols by ALPN, and not
/// ours, fails its handshake.
///
/// # Errors
/// In a sentence, with the file.
pub fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, String> {
    serving(config, ALPN)
}

/// As [`acceptor`], towards browsers.
///
/// # Errors
/// In a sentence, with the file.
pub fn web_acceptor(config: &TlsConfig) -> Result<TlsAcceptor, String> {
    serving(config, b"http/1.1")
}

fn serving(config: &TlsConfig, protocol: &[u8]) -> Result<TlsAcceptor, String> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&config.cert)
            .and_then(Iterator::collect)
            .map_err(|e| format!("{}: not a certificate chain in PEM: {e}", config.cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|e| format!("{}: not a private key in PEM: {e}", config.key.display()))?;
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("{}: {e}", config.cert.display()))?;
    server.alpn_protocols = vec![protocol.to_vec()];
    // PostgreSQL resumes no sessions either, and nothing need be kept of those that are over.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// Towards a database; `None` where TLS is not to be used.
///
/// # Errors
/// Where there is nobody to verify by.
pub fn connector(tls: &UpstreamTls) -> Result<Option<TlsConnector>, rustls::Error> {
    let verifier: Arc<dyn ServerCertVerifier> = match tls {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::Require => Arc::new(Chain::of(None)),
        UpstreamTls::VerifyCa(Authorities(roots)) => Arc::new(Chain::of(Some(Arc::clone(roots)))),
        UpstreamTls::VerifyFull(Authorities(roots)) => WebPkiServerVerifier::builder(Arc::clone(roots))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?,
    };
    let client = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
    let mut client = client.with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    Ok(Some(TlsConnector::from(Arc::new(client))))
}

/// Verifies less than chain and name: the chain alone, or, without roots, that the server has the key
/// of its certificate.
#[derive(Debug)]
struct Chain {
    roots: Option<Arc<RootCertStore>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Chain {
    fn of(roots: Option<Arc<RootCertStore>>) -> Self {
        Self { roots, algorithms: aws_lc_rs::default_provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, self.algorithms.all)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
