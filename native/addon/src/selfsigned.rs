//! Certificates that members make for themselves.

use napi::Result;
use napi_derive::napi;
use netcd_front::tls;

use crate::check::{number, reason};

/// `SelfSigned`.
#[napi(object, object_from_js = false)]
pub struct SelfSigned {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

/// For these host names and addresses, from now on for so many days.
#[napi]
pub fn self_signed_certificate(hosts: Vec<String>, days: f64) -> Result<SelfSigned> {
    let days = u32::try_from(number("days", days)?).unwrap_or(u32::MAX);
    let tls::SelfSigned { certificate, key } = tls::self_signed(&hosts, days).map_err(reason)?;
    Ok(SelfSigned { certificate, key })
}
