//! What those who call are shown, and what is asked of them.

use super::TlsError;
use super::options::TlsOptions;
use super::pair::Pair;
use super::provider::Spoken;

/// The accepting side.
pub(crate) struct ServerTls {
    pub(crate) pair: Pair,
}

impl ServerTls {
    pub(crate) fn compile(
        _options: &TlsOptions,
        _spoken: &Spoken,
        pair: Pair,
    ) -> Result<Self, TlsError> {
        Ok(Self { pair })
    }
}
