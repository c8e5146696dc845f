//! RSA for `caching_sha2_password` where the channel is not encrypted, both directions.
//!
//! Towards clients lagwise plays the server with a key pair of its own ([`RsaKey`]); towards
//! servers it encrypts with the key that the server sends ([`ServerPublicKey`]). The padding is
//! OAEP with SHA-1 and MGF1-SHA-1 (OpenSSL's `RSA_PKCS1_OAEP_PADDING`) and the plain text is the
//! password and NUL XORed with the nonce, so a recorded block is no use in another login.
//!
//! As with MySQL's own `get-server-public-key`, a key that arrives over the wire proves nothing
//! about who sent it: TLS is the remedy, and pinning a key is deliberately absent.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

use super::{AuthError, MAX_PASSWORD_LENGTH, caching_sha2};

/// The longest PEM text, in bytes, that is parsed. An 8192-bit private key takes about 6.4 KB.
pub const MAX_PEM_LENGTH: usize = 16 * 1024;

/// Key sizes in bits that are accepted. The lower bound is the crypto library's, and the size
/// that MySQL generates; the upper one bounds the time that one login can take.
pub const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// lagwise's own RSA key pair, which clients without TLS encrypt their passwords with.
///
/// Decrypting one block of a 2048-bit key takes about a millisecond of CPU, which is why known
/// passwords are answered on the fast path. Clones share the private key.
#[derive(Clone)]
pub struct RsaKey {
    private: Arc<OaepPrivateDecryptingKey>,
    public_pem: Vec<u8>,
}

impl RsaKey {
    /// A new 2048-bit key pair, the size MySQL generates. Takes a fraction of a second.
    ///
    /// # Errors
    /// [`AuthError::RsaKey`] when the crypto library cannot make one.
    pub fn generate() -> Result<Self, AuthError> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048)
            .map_err(|_| AuthError::RsaKey("cannot generate a 2048-bit key pair"))?;
        Self::new(key)
    }

    /// Reads a private key from the text of a PEM file: PKCS#8 (`BEGIN PRIVATE KEY`) or
    /// PKCS#1 (`BEGIN RSA PRIVATE KEY`), not encrypted. MySQL's `private_key.pem` is either.
    ///
    /// # Errors
    /// [`AuthError::RsaKey`] for a text above [`MAX_PEM_LENGTH`], without such a key, or with one
    /// outside [`KEY_BITS`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthError> {
        if pem.len() > MAX_PEM_LENGTH {
            return Err(AuthError::RsaKey("the PEM text is over 16 KiB long"));
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
            AuthError::RsaKey(
                "no unencrypted PEM private key found (BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY)",
            )
        })?;
        let rejected = |_| AuthError::RsaKey("not an RSA private key of 2048 to 8192 bits");
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => {
                PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).map_err(rejected)?
            }
            PrivateKeyDer::Pkcs1(der) => {
                let pair = KeyPair::from_der(der.secret_pkcs1_der()).map_err(rejected)?;
                let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)
                    .map_err(|_| AuthError::RsaKey("cannot convert the key to PKCS#8"))?;
                PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).map_err(rejected)?
            }
            _ => return Err(AuthError::RsaKey("the PEM text holds a key, but not an RSA key")),
        };
        Self::new(key)
    }

    fn new(key: PrivateDecryptingKey) -> Result<Self, AuthError> {
        if !KEY_BITS.contains(&key.key_size_bits()) {
            return Err(AuthError::RsaKey("not an RSA private key of 2048 to 8192 bits"));
        }
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(&key.public_key())
            .map_err(|_| AuthError::RsaKey("cannot encode the public key"))?;
        let public_pem = public_key_pem(public.as_ref());
        let private = OaepPrivateDecryptingKey::new(key)
            .map_err(|_| AuthError::RsaKey("the key cannot be used for OAEP"))?;
        Ok(Self { private: Arc::new(private), public_pem })
    }

    /// The public key as clients expect it after 0x02: `-----BEGIN PUBLIC KEY-----`, lines of 64.
    #[must_use]
    pub fn public_key_pem(&self) -> &[u8] {
        &self.public_pem
    }

    /// Length in bytes of the block that a client encrypts with this key: 256 for 2048 bits.
    #[must_use]
    pub fn block_length(&self) -> usize {
        self.private.key_size_bytes()
    }

    /// The password in a client's RSA block, which was made for `nonce`.
    ///
    /// # Errors
    /// [`AuthError::RsaBlock`] for a block of the wrong length, one that does not decrypt or one
    /// that holds no NUL-terminated password: one error for all, so that it cannot serve as an
    /// oracle. [`AuthError::PasswordTooLong`] above [`MAX_PASSWORD_LENGTH`].
    pub fn decrypt_password(
        &self,
        block: &[u8],
        nonce: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AuthError> {
        if block.len() != self.block_length() {
            return Err(AuthError::RsaBlock);
        }
        let mut buffer = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let text = self
            .private
            .decrypt(&OAEP_SHA1_MGF1SHA1, block, &mut buffer, None)
            .map_err(|_| AuthError::RsaBlock)?;
        let password = caching_sha2::deobfuscate(text, nonce).ok_or(AuthError::RsaBlock)?;
        if password.len() > MAX_PASSWORD_LENGTH {
            return Err(AuthError::PasswordTooLong);
        }
        Ok(password)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey").field("bits", &self.private.key_size_bits()).finish()
    }
}

/// A server's RSA public key, with which lagwise encrypts a password when there is no TLS.
#[derive(Debug)]
pub struct ServerPublicKey(OaepPublicEncryptingKey);

impl ServerPublicKey {
    /// Reads the key from the PEM text that the server sent in AuthMoreData.
    ///
    /// # Errors
    /// [`AuthError::RsaKey`] for a text above [`MAX_PEM_LENGTH`], without a public key, or with
    /// one outside [`KEY_BITS`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthError> {
        if pem.len() > MAX_PEM_LENGTH {
            return Err(AuthError::RsaKey("the server's public key is over 16 KiB long"));
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| AuthError::RsaKey("the server sent no PEM public key"))?;
        let rejected = AuthError::RsaKey(
            "the server's public key is not an RSA key of 2048 to 8192 bits; \
             replace it or enable TLS to this server",
        );
        let key = PublicEncryptingKey::from_der(&der).map_err(|_| rejected.clone())?;
        if !KEY_BITS.contains(&key.key_size_bits()) {
            return Err(rejected);
        }
        OaepPublicEncryptingKey::new(key).map(Self).map_err(|_| rejected)
    }

    /// The RSA block that proves `password` to the server that sent `nonce`.
    ///
    /// # Errors
    /// [`AuthError::PasswordTooLong`] when password and NUL do not fit in one block: at most 213
    /// bytes of password with a 2048-bit key.
    pub fn encrypt_password(&self, password: &[u8], nonce: &[u8]) -> Result<Vec<u8>, AuthError> {
        let text = caching_sha2::obfuscate(password, nonce)?;
        if text.len() > self.0.max_plaintext_size(&OAEP_SHA1_MGF1SHA1) {
            return Err(AuthError::PasswordTooLong);
        }
        let mut block = vec![0; self.0.ciphertext_size()];
        let length = self
            .0
            .encrypt(&OAEP_SHA1_MGF1SHA1, &text, &mut block, None)
            .map_err(|_| AuthError::RsaKey("encrypting with the server's public key failed"))?
            .len();
        block.truncate(length);
        Ok(block)
    }
}

/// SubjectPublicKeyInfo as PEM text, lines of 64 characters, ending in a line feed.
fn public_key_pem(der: &[u8]) -> Vec<u8> {
    let base64 = STANDARD.encode(der);
    let mut pem = Vec::with_capacity(base64.len() + base64.len() / 64 + 64);
    pem.extend_from_slice(b"-----BEGIN PUBLIC KEY-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
pub(crate) mod tests;
