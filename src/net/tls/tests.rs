//! Handshakes of both sides under every setting.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    CertificateError, ClientConnection, HandshakeKind, ProtocolVersion, ServerConnection,
    SupportedProtocolVersion, version,
};

use super::*;

/// A folder of its own for one test, removed with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lagwise-tls-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As a server without clients' certificates.
fn of_files(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    server_config(Identity::Files { cert, key }, ClientAuth::None)
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

/// A certificate that is its own authority.
fn self_signed(name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl Authority {
    /// PEM texts of a certificate for `names`, or for nobody, and of its key.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// An authority below this one.
    fn intermediate(&self) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "between");
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }
}

/// One handshake in memory, with a byte each way so that the session's tickets arrive.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    host: &str,
) -> Result<(ProtocolVersion, HandshakeKind), rustls::Error> {
    use std::io::{Read, Write};
    let mut client = ClientConnection::new(Arc::clone(client), server_name(host).unwrap())?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    server.writer().write_all(b"x").unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    client.reader().read_exact(&mut [0]).unwrap();
    Ok((client.protocol_version().unwrap(), client.handshake_kind().unwrap()))
}

#[test]
fn what_each_mode_accepts() {
    let folder = Folder::new();
    let (ours, other) = (authority("ours"), authority("other"));
    let between = ours.intermediate();
    let server = |name: &str, (cert, key): (String, String), issuer: &str| {
        let cert = folder.write(&format!("{name}.pem"), cert + issuer);
        of_files(&cert, &folder.write(&format!("{name}.key"), key)).unwrap()
    };
    let named = server("named", ours.issue(&["db.example", "127.0.0.1", "::1"]), "");
    let nameless = server("nameless", ours.issue(&[]), "");
    let chained = server("chained", between.issue(&["db.example"]), &between.pem);
    let foreign = server("foreign", other.issue(&["db.example"]), "");

    let alone = self_signed("db.example");
    let alone_file = folder.write("alone-ca.pem", &alone.0);
    let alone = server("alone", alone, "");

    let ca_file = folder.write("ca.pem", &ours.pem);
    let both = folder.write("both.pem", format!("{}\n# and\n{}", other.pem, ours.pem));
    let config = |mode, file: &Path| client_config(mode, Some(file), None).unwrap();
    let none = client_config(VerifyMode::None, None, None).unwrap();
    let ca = config(VerifyMode::Ca, &ca_file);
    let full = config(VerifyMode::Full, &ca_file);
    let two = config(VerifyMode::Full, &both);

    let check = |what: &str, client, server, host, expected: Result<(), &str>| {
        let got = match handshake(client, server, host) {
            Ok((version, _)) => {
                assert_eq!(version, ProtocolVersion::TLSv1_3, "{what}");
                Ok(())
            }
            Err(rustls::Error::InvalidCertificate(error)) => Err(match error {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => "issuer",
                // A self-signed certificate that was not named.
                CertificateError::Other(error) if error.to_string().contains("CaUsed") => "issuer",
                CertificateError::NotValidForNameContext { .. } => "name",
                other => panic!("{what}: {other:?}"),
            }),
            Err(other) => panic!("{what}: {other:?}"),
        };
        assert_eq!(got, expected, "{what} at {host}");
    };
    for server in [&named, &nameless, &chained, &foreign] {
        check("none", &none, server, "db.example", Ok(()));
        check("none", &none, server, "10.0.0.1", Ok(()));
    }
    for server in [&named, &nameless, &chained] {
        check("ca", &ca, server, "db.example", Ok(()));
        check("ca", &ca, server, "elsewhere.example", Ok(()));
    }
    check("ca", &ca, &foreign, "db.example", Err("issuer"));
    for host in ["db.example", "DB.example", "127.0.0.1", "::1", "[::1]"] {
        check("full", &full, &named, host, Ok(()));
    }
    for host in ["elsewhere.example", "x.db.example", "127.0.0.2", "::2"] {
        check("full", &full, &named, host, Err("name"));
    }
    check("full", &full, &chained, "db.example", Ok(()));
    check("full", &full, &nameless, "db.example", Err("name"));
    check("full", &full, &foreign, "db.example", Err("issuer"));
    check("ca", &ca, &alone, "db.example", Err("issuer"));
    let ca = config(VerifyMode::Ca, &alone_file);
    let full = config(VerifyMode::Full, &alone_file);
    check("self-signed", &ca, &alone, "elsewhere.example", Ok(()));
    check("self-signed", &full, &alone, "db.example", Ok(()));
    check("self-signed", &full, &alone, "elsewhere.example", Err("name"));
    check("self-signed", &full, &named, "db.example", Err("issuer"));
    let impostor = server("impostor", self_signed("db.example"), "");
    check("self-signed", &full, &impostor, "db.example", Err("issuer"));
    check("two authorities", &two, &foreign, "db.example", Ok(()));
}

#[test]
fn sessions_are_resumed() {
    let folder = Folder::new();
    let (cert, key) = authority("ours").issue(&["db.example"]);
    let server = of_files(&folder.write("cert", cert), &folder.write("key", key)).unwrap();
    let client = client_config(VerifyMode::None, None, None).unwrap();
    let only: &[&SupportedProtocolVersion] = &[&version::TLS12];
    let old_client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(only)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier {
            trusted: None,
            check_name: false,
            provider: provider(),
        }))
        .with_no_client_auth();
    for (client, version) in
        [(client, ProtocolVersion::TLSv1_3), (Arc::new(old_client), ProtocolVersion::TLSv1_2)]
    {
        let first = handshake(&client, &server, "one.example").unwrap();
        assert_eq!(first, (version, HandshakeKind::Full));
        let second = handshake(&client, &server, "one.example").unwrap();
        assert_eq!(second, (version, HandshakeKind::Resumed));
        let other = handshake(&client, &server, "two.example").unwrap();
        assert_eq!(other, (version, HandshakeKind::Full), "another server");
    }
}

/// Every error names its file and a cure.
#[test]
fn files_that_cannot_be_used() {
    let folder = Folder::new();
    let ours = authority("ours");
    let (cert, key) = ours.issue(&["db.example"]);
    let (_, other_key) = ours.issue(&["db.example"]);
    let good_cert = folder.write("good.pem", &cert);
    let good_key = folder.write("good.key", &key);
    let missing = folder.0.join("missing.pem");
    let no_pem = folder.write("no.pem", "hello");
    let other_key = folder.write("other.key", other_key);
    let encrypted = folder.write("encrypted.key", key.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    let torn = folder.write("torn.pem", &cert[..cert.len() - 30]);
    let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let garbage = folder.write("garbage.pem", garbage);
    let bad_key = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    let bad_key = folder.write("bad.key", bad_key);
    let large = folder.write("large.pem", vec![b'x'; 5 * 1024 * 1024]);

    let server = |cert: &Path, key: &Path| of_files(cert, key).map(drop);
    let client = |file: Option<&Path>, mode| client_config(mode, file, None).map(drop);
    server(&good_cert, &good_key).unwrap();
    #[rustfmt::skip]
    let cases = [
        (server(&missing, &good_key), "missing.pem", "must exist and be readable"),
        (server(&good_cert, &missing), "missing.pem", "must exist and be readable"),
        (server(&no_pem, &good_key), "no.pem", "BEGIN CERTIFICATE"),
        (server(&good_key, &good_key), "good.key", "BEGIN CERTIFICATE"),
        (server(&torn, &good_key), "torn.pem", "replace it"),
        (server(&garbage, &good_key), "garbage.pem", "replace it"),
        (server(&large, &good_key), "large.pem", "4 MiB"),
        (server(&good_cert, &no_pem), "no.pem", "openssl pkey"),
        (server(&good_cert, &good_cert), "good.pem", "openssl pkey"),
        (server(&good_cert, &encrypted), "encrypted.key", "openssl pkey"),
        (server(&good_cert, &bad_key), "bad.key", "replace it"),
        (server(&good_cert, &other_key), "other.key", "does not belong"),
        (server(&good_cert, &other_key), "good.pem", "certificate first"),
        (server(&folder.0, &good_key), "lagwise-tls-test", "must exist and be readable"),
        (client(Some(&missing), VerifyMode::Ca), "missing.pem", "must exist"),
        (client(Some(&no_pem), VerifyMode::Full), "no.pem", "BEGIN CERTIFICATE"),
        (client(Some(&garbage), VerifyMode::Full), "garbage.pem", "replace it"),
        (client(None, VerifyMode::Ca), "CA file", "name one"),
        (client(None, VerifyMode::Full), "CA file", "name one"),
    ];
    for (result, file, cure) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(file), "no {file} in: {error}");
        assert!(error.contains(cure), "no '{cure}' in: {error}");
        assert!(!error.contains("MII"), "a key's text in: {error}");
    }
}

#[test]
fn server_names() {
    for (host, expected) in [
        ("db.example", Some("db.example")),
        ("db_1", Some("db_1")),
        ("10.0.0.1", Some("10.0.0.1")),
        ("::1", Some("::1")),
        ("[fe80::1]", Some("fe80::1")),
        ("", None),
        ("a b", None),
        ("[db.example", None),
        ("db.example:3306", None),
    ] {
        let got = server_name(host).ok().map(|name| name.to_str().into_owned());
        assert_eq!(got.as_deref(), expected, "{host}");
    }
}
