//! Authorities and certificates of a test's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key: PEM files, and DER.
pub struct Issued {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub der: (Vec<u8>, Vec<u8>),
}

impl Authority {
    /// A new one, whose files are in this folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let authority = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            issuer: Issuer::new(params, key),
        };
        std::fs::write(authority.file(), cert.pem()).unwrap();
        authority
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// A new certificate for a host or a client, in files that bear this name.
    pub fn issue(&self, host: &str, file: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.join(format!("{file}-{end}.pem"));
        std::fs::write(path("cert"), cert.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let der = (cert.der().to_vec(), key.serialize_der());
        Issued { cert: path("cert"), key: path("key"), der }
    }
}

/// A folder of its own below the target folder, which stays until the next `cargo clean`.
pub fn folder() -> PathBuf {
    let folder = crate::support::target_dir()
        .join("lab")
        .join(format!("certificates-{}", crate::support::unique_name()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
