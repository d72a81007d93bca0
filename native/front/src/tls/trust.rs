//! Whose signatures are believed.

use super::TlsError;
use super::certificate::Certificate;
use super::pem;

/// The certificates of a CA file: every block is one, or the file is refused. There may be none.
///
/// # Errors
/// A block is no certificate.
pub(crate) fn pool(file: &[u8]) -> Result<Vec<Certificate>, TlsError> {
    let all = pem::blocks(file).into_iter().map(|block| block.der);
    Certificate::parse_all(all.collect())
}

/// The certificates that the system believes; what of them cannot be read is left out.
pub(crate) fn system() -> Vec<Certificate> {
    let found = rustls_native_certs::load_native_certs();
    let ders = found.certs.into_iter().map(|der| der.to_vec());
    ders.filter_map(|der| Certificate::parse(der).ok())
        .collect()
}
