//! Until when the certificates that lagwise shows are valid.
//!
//! rustls looks at this when somebody else shows one; of one's own it says nothing.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// When the first of the certificates in a PEM file ends: with an expired issuer in it, a chain is of
/// no more use than with an expired certificate. `None`: there is none, or one that cannot be read.
pub fn expiry(pem: &[u8]) -> Option<SystemTime> {
    let mut first = None;
    for der in CertificateDer::pem_slice_iter(pem) {
        let certificate = Certificate::from_der(&der.ok()?).ok()?;
        let end = certificate.tbs_certificate().validity().not_after.to_system_time();
        first = Some(first.map_or(end, |first: SystemTime| first.min(end)));
    }
    first
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pem(year: i32) -> String {
        let mut params = CertificateParams::new(vec!["lagwise".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn seconds(pem: &str) -> Option<u64> {
        let since = expiry(pem.as_bytes())?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Some(since.as_secs())
    }

    #[test]
    fn the_first_end_of_a_chain_counts() {
        // `date -ud 2031-01-02 +%s`; after 2049 the time is written in another way.
        let (in_2031, in_2064) = (1_925_078_400, 2_966_457_600);
        assert_eq!(seconds(&pem(2031)), Some(in_2031));
        assert_eq!(seconds(&pem(2064)), Some(in_2064));
        assert_eq!(seconds(&(pem(2064) + &pem(2031))), Some(in_2031));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no PEM", broken, &(pem(2031) + broken)] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
