//! Until when lagwise's own certificates are valid.
//!
//! They change with reloads only, so the server module hands them in then.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// One certificate that lagwise shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSample {
    /// The server to which it is shown; `None`: to clients.
    pub server: Option<String>,
    /// When it, or the first of its issuers that are shown with it, ends.
    pub expiry: SystemTime,
}

impl CertificateSample {
    /// The value of the label `shown_to`.
    pub(super) fn shown_to(&self) -> &'static str {
        if self.server.is_some() { "server" } else { "clients" }
    }
}

/// Those of the configuration that is in force.
#[derive(Debug, Default)]
pub(super) struct Certificates(Mutex<Vec<CertificateSample>>);

impl Certificates {
    pub fn set(&self, certificates: Vec<CertificateSample>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    pub fn get(&self) -> Vec<CertificateSample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
