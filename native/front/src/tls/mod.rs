//! TLS: what the control plane's files make of it, for those who call this member and for what it dials.

mod options;

pub use options::{TlsFound, TlsOptions, TlsSide, TlsVersion};
