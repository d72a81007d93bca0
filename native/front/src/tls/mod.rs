//! TLS: what the control plane's files make of it, for those who call this member and for what it dials.

mod hosts;
mod names;
mod options;
mod resolver;

pub use hosts::{Resolver, check as check_host};
pub use options::{TlsFound, TlsOptions, TlsSide, TlsVersion};
pub use resolver::SystemResolver;
