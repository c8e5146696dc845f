//! net.
pub mod compress;
pub mod tls;
