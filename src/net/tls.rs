//! TLS configurations for both sides, built once at start and on reload.
//!
//! Both are rustls with the aws-lc-rs provider named explicitly, never the process default, so
//! that no other crate can change it. TLS 1.2 and 1.3; sessions are resumed on both sides.
//!
//! Deliberately absent: the operating system's and the browsers' lists of authorities, because a
//! database's certificate comes from an authority that its operator names; revocation lists.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, ServerConfig,
    SignatureScheme,
};
use thiserror::Error;

/// The longest PEM file, in bytes, that is read. Whole bundles of authorities take 250 KB.
const MAX_FILE_LENGTH: u64 = 4 * 1024 * 1024;

/// How lagwise checks a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyMode {
    /// Encrypt, but believe any certificate: safe from listeners, not from impostors.
    None,
    /// The chain must end at an authority of the CA file, or the certificate itself be in it;
    /// the name is not looked at. For the certificates that MySQL generates for itself, which
    /// name no host.
    Ca,
    /// As `Ca`, and the certificate must name the host that was dialled.
    Full,
}

/// Why a TLS configuration could not be built. Every text names the file and a cure.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read '{}': {source}; the file must exist and be readable by lagwise's user", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is too large to be what it should be.
    #[error("'{}' is over 4 MiB long; name a PEM file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no certificate in it.
    #[error("'{}' holds no PEM certificate; it needs at least one '-----BEGIN CERTIFICATE-----' section", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file has no private key in it that can be used.
    #[error("'{}' holds no unencrypted PEM private key; convert it with 'openssl pkey -in OLD -out NEW' if it is encrypted or in another format", path.display())]
    NoPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// The file has something wrong in it.
    #[error("'{}' cannot be used: {reason}; replace it by a valid PEM file", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The private key belongs to another certificate.
    #[error("the private key in '{}' does not belong to the first certificate in '{}'; put the server's own certificate first, and its issuers after it", key.display(), cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// There is nothing to check a server's certificate against.
    #[error("verifying a server's certificate needs a CA file; name one, or choose not to verify")]
    CaFileRequired,
    /// What TLS cannot send as a server name.
    #[error("'{0}' is neither a host name nor an IP address that TLS can use")]
    ServerName(String),
    /// No certificate of lagwise's own could be made.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(String),
    /// The library could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The configuration for clients that connect to lagwise.
///
/// `cert` holds the certificate and then its issuers, `key` its private key (PKCS#8, PKCS#1 or
/// SEC1, not encrypted), both PEM; `None`: a self-signed one of lagwise's own. Blocks on reading the
/// files.
///
/// # Errors
/// Any [`TlsError`] but `CaFileRequired` and `ServerName`.
pub fn server_config(
    identity: Identity<'_>,
    clients: ClientAuth<'_>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(client_verifier(clients)?);
    let mut config = match identity {
        Identity::Files { cert, key } => {
            let (chain, private_key) = read_identity(cert, key)?;
            builder
                .with_single_cert(chain, private_key)
                .map_err(|error| identity_error(error, cert, key))?
        }
        Identity::Own(own) => builder.with_single_cert(own.chain.clone(), own.key.clone_key())?,
    };
    // Sessions live in tickets that the clients keep. Without, rustls keeps 256 in all, here.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// With what certificate lagwise shows itself to clients.
#[derive(Clone, Copy, Debug)]
pub enum Identity<'a> {
    /// PEM files.
    Files {
        /// The certificate and then its issuers.
        cert: &'a Path,
        /// Its private key.
        key: &'a Path,
    },
    /// One of lagwise's own making.
    Own(&'a SelfSigned),
}

/// Whether clients show certificates, and whose are good.
#[derive(Clone, Copy, Debug)]
pub enum ClientAuth<'a> {
    /// None is asked for.
    None,
    /// One that is shown must be of an authority in this file.
    Optional(&'a Path),
    /// There must be one of an authority in this file.
    Required(&'a Path),
}

fn client_verifier(clients: ClientAuth<'_>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (ClientAuth::Optional(path) | ClientAuth::Required(path)) = clients else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let roots = Arc::new(Trusted::read(path)?.roots);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = match clients {
        ClientAuth::Optional(_) => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder
        .build()
        .map_err(|error| TlsError::Invalid { path: path.to_owned(), reason: error.to_string() })
}

fn read_identity(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = read_certificates(cert)?;
    let text = zeroize::Zeroizing::new(read(key)?);
    let private_key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| TlsError::NoPrivateKey { path: key.to_owned() })?;
    Ok((chain, private_key))
}

fn identity_error(error: rustls::Error, cert: &Path, key: &Path) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::KeyMismatch { cert: cert.to_owned(), key: key.to_owned() }
        }
        rustls::Error::InvalidCertificate(reason) => {
            TlsError::Invalid { path: cert.to_owned(), reason: format!("{reason:?}") }
        }
        other => TlsError::Invalid { path: key.to_owned(), reason: other.to_string() },
    }
}

/// A certificate that lagwise has made itself.
pub struct SelfSigned {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelfSigned")
    }
}

/// A new key and a certificate that nobody signed, for clients where none is configured. It keeps
/// passwords and data from eavesdroppers, and spares clients that insist on TLS for sending a password
/// (the mysql command line client) any set-up; who wants clients to verify lagwise configures a
/// certificate.
///
/// # Errors
/// [`TlsError::SelfSigned`].
pub fn self_signed() -> Result<SelfSigned, TlsError> {
    let certified = rcgen::generate_simple_self_signed(vec!["lagwise".to_owned()])
        .map_err(|error| TlsError::SelfSigned(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    Ok(SelfSigned { chain: vec![certified.cert.der().clone()], key })
}

/// The configuration for lagwise's own connections to servers. Keep it: it remembers the
/// sessions that can be resumed. `identity` is lagwise's own certificate and its key, for accounts that
/// must show one. Blocks on reading the files.
///
/// # Errors
/// [`TlsError::CaFileRequired`] when `verify` asks for a check and there is no `ca_file`; the
/// errors of reading it; [`TlsError::Setup`].
pub fn client_config(
    verify: VerifyMode,
    ca_file: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let trusted = match (verify, ca_file) {
        (VerifyMode::None, _) => None,
        (VerifyMode::Ca | VerifyMode::Full, Some(path)) => Some(Trusted::read(path)?),
        (VerifyMode::Ca | VerifyMode::Full, None) => return Err(TlsError::CaFileRequired),
    };
    let check_name = verify == VerifyMode::Full;
    let verifier = Arc::new(Verifier { trusted, check_name, provider });
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some((cert, key)) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let (chain, private_key) = read_identity(cert, key)?;
    let config = builder.with_client_auth_cert(chain, private_key);
    Ok(Arc::new(config.map_err(|error| identity_error(error, cert, key))?))
}

/// The name under which TLS looks for a server: a host name, or an IP address with or without
/// the brackets of IPv6.
///
/// # Errors
/// [`TlsError::ServerName`].
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::ServerName(host.to_owned()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |source| TlsError::Read { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > MAX_FILE_LENGTH {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(fail)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Invalid { path: path.to_owned(), reason: error.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

/// What a CA file holds.
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
}

impl Trusted {
    fn read(path: &Path) -> Result<Self, TlsError> {
        let certificates = read_certificates(path)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| TlsError::Invalid {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        }
        Ok(Self { certificates, roots })
    }
}

/// Checks chain and name as far as the [`VerifyMode`] goes, and that the server has the
/// certificate's private key; without anything trusted, nothing at all. Whoever does not care for
/// the certificate must not be stopped by its form: many servers have one of X.509 version 1, which
/// cannot even be parsed here.
struct Verifier {
    /// `None`: any certificate will do.
    trusted: Option<Trusted>,
    check_name: bool,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("check_chain", &self.trusted.is_some())
            .field("check_name", &self.check_name)
            .finish()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        // A self-signed certificate that is its own authority (what `openssl req -x509` makes)
        // cannot be verified as a chain. The operator named this very one, so it is trusted as
        // it stands, dates included.
        if !trusted.certificates.contains(end_entity) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &trusted.roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if self.check_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.trusted.is_none() {
            return Ok(HandshakeSignatureValid::assertion()); // see the type
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.trusted.is_none() {
            return Ok(HandshakeSignatureValid::assertion()); // see the type
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
