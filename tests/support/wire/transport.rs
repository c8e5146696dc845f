//! Bytes to and from a server: plain or TLS, and the compressed protocol on top.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

/// How payloads are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Zlib,
    Zstd,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// While it changes from one to the other.
    Gone,
}

/// A connection. What is written is sent by `flush`.
pub struct Transport {
    socket: Socket,
    compression: Option<Compression>,
    /// Sequence id of the next compressed packet, of either side.
    seq: u8,
    out: Vec<u8>,
    /// Inflated bytes that were not read yet, from `at` on.
    inflated: Vec<u8>,
    at: usize,
}

impl Transport {
    pub fn new(stream: TcpStream) -> Self {
        Self {
            socket: Socket::Plain(stream),
            compression: None,
            seq: 0,
            out: Vec::new(),
            inflated: Vec::new(),
            at: 0,
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// The certificate that the server has shown, in DER.
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        let Socket::Tls(stream) = &self.socket else { return None };
        stream.conn.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }

    pub fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    pub fn compress(&mut self, compression: Compression) {
        self.compression = Some(compression);
    }

    /// The next compressed packet begins a command.
    pub fn begin_command(&mut self) {
        self.seq = 0;
    }

    /// Sends `request` and changes to TLS. Certificates are not judged: lagwise and the servers
    /// make their own. The ClientHello goes out in one piece with the request, as may happen to
    /// any client, and no server must mind.
    pub fn start_tls(
        &mut self,
        request: &[u8],
        identity: Option<&(Vec<u8>, Vec<u8>)>,
    ) -> io::Result<()> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivatePkcs8KeyDer::from(key.clone()).into();
                let chain = vec![CertificateDer::from(certificate.clone())];
                config.with_client_auth_cert(chain, key).map_err(io::Error::other)?
            }
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut first = request.to_vec();
        tls.write_tls(&mut first)?;
        self.raw()?.write_all(&first)?;
        if let Socket::Plain(stream) = std::mem::replace(&mut self.socket, Socket::Gone) {
            self.socket = Socket::Tls(Box::new(StreamOwned::new(tls, stream)));
        }
        Ok(())
    }

    fn raw(&mut self) -> io::Result<&mut dyn ReadWrite> {
        match &mut self.socket {
            Socket::Plain(stream) => Ok(stream),
            Socket::Tls(stream) => Ok(&mut **stream),
            Socket::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn inflate_next(&mut self, compression: Compression) -> io::Result<()> {
        let mut header = [0; 7];
        self.raw()?.read_exact(&mut header)?;
        let len = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
        let (wire, plain) = (len(0) as usize, len(4) as usize);
        if header[3] != self.seq {
            let text = format!("compressed sequence id {}, not {}", header[3], self.seq);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.seq = self.seq.wrapping_add(1);
        let mut payload = vec![0; wire];
        self.raw()?.read_exact(&mut payload)?;
        self.at = 0;
        self.inflated = match (plain, compression) {
            (0, _) => payload,
            (_, Compression::Zlib) => {
                let mut all = Vec::with_capacity(plain);
                flate2::read::ZlibDecoder::new(&payload[..]).read_to_end(&mut all)?;
                all
            }
            (_, Compression::Zstd) => zstd::decode_all(&payload[..])?,
        };
        if plain != 0 && self.inflated.len() != plain {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "inflated length"));
        }
        Ok(())
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(compression) = self.compression else {
            return self.raw()?.read(buffer);
        };
        if self.at == self.inflated.len() {
            self.inflate_next(compression)?;
        }
        let rest = &self.inflated[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let Some(compression) = self.compression else {
            self.raw()?.write_all(&out)?;
            return self.raw()?.flush();
        };
        for piece in out.chunks(1 << 20) {
            let packed = if piece.len() < 50 {
                None
            } else if compression == Compression::Zlib {
                let mut encoder =
                    flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(piece)?;
                Some(encoder.finish()?)
            } else {
                Some(zstd::encode_all(piece, 3)?)
            };
            let plain = if packed.is_some() { piece.len() } else { 0 };
            let payload = packed.as_deref().unwrap_or(piece);
            let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
            packet.push(self.seq);
            packet.extend_from_slice(&(plain as u32).to_le_bytes()[..3]);
            packet.extend_from_slice(payload);
            self.seq = self.seq.wrapping_add(1);
            self.raw()?.write_all(&packet)?;
        }
        self.raw()?.flush()
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
