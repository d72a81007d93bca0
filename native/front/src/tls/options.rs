//! What the control plane says about TLS: the contents of files, and rules. See src/native/binding.ts.

/// Whose links the options are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsSide {
    /// Client and metrics listeners.
    Client,
    /// Peer listeners, and what this member dials.
    Peer,
}

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// TLS of one side. Certificates, keys and CAs are PEM.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The chain that is shown, the leaf first.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// What this member shows when it dials; None: the same.
    pub client_certificate: Option<Vec<u8>>,
    /// Its key.
    pub client_key: Option<Vec<u8>>,
    /// Who signs the certificates of the other side; None: whom the system trusts.
    pub trusted_ca: Option<Vec<u8>>,
    /// Callers must show a certificate that is good.
    pub requires_client_certificate: bool,
    /// Revocation lists, DER or PEM; None: none is kept, unless there is a `crl_problem`.
    pub crl: Option<Vec<u8>>,
    /// Why there is no list although one is to be kept.
    pub crl_problem: Option<String>,
    /// One of them is a certificate's common name; empty: any is good.
    pub allowed_common_names: Vec<String>,
    /// For one of them a certificate is; empty: any is good.
    pub allowed_hostnames: Vec<String>,
    /// A member's certificate may be for any address.
    pub skips_san_verification: bool,
    /// A common name is a user.
    pub common_name_is_user: bool,
    /// Go's names of suites of TLS 1.2; empty: the default.
    pub cipher_suites: Vec<String>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// The highest version.
    pub max_version: TlsVersion,
    /// When dialling: whoever answers is believed.
    pub skips_server_verification: bool,
    /// When dialling: the name that a certificate must have; None: the URL's host.
    pub server_name: Option<String>,
}

/// What is said of options that can be used. Times are milliseconds since 1970.
#[derive(Clone, PartialEq, Debug)]
pub struct TlsFound {
    /// When the certificate ends.
    pub certificate_end_ms: i64,
    /// When the certificate for dialling ends.
    pub client_certificate_end_ms: Option<i64>,
    /// When the first of the CA's certificates ends.
    pub trusted_ca_end_ms: Option<i64>,
    /// Known suites that are not here.
    pub ignored_cipher_suites: Vec<String>,
}
