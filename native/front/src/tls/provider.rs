//! Suites and versions: Go's names of them, and what of it there is here.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::TlsError;
use super::options::{TlsOptions, TlsVersion};

/// Go's names of the suites of TLS 1.2 that are here, in its order, which counts and not the client's.
const SUITES: [(&str, SupportedCipherSuite); 6] = [
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Older names of two of them.
const ALIASES: [(&str, &str); 2] = [
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
];

/// The suites of TLS 1.3: always there, listed or not.
const SUITES_1_3: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
];

/// What Go has and netcd has not: without authentication of what is encrypted, or without forward secrecy.
const ABSENT: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

const MISSING_FOR_HTTP2: &str = "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher (need at least one of TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)";

/// What is spoken.
pub(crate) struct Spoken {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// Suites that were asked for and are not here.
    pub(crate) ignored: Vec<String>,
}

/// The provider with all suites, which stands once.
fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let all = SUITES_1_3.iter().chain(&SUITES);
        Arc::new(CryptoProvider {
            cipher_suites: all.map(|(_, suite)| *suite).collect(),
            ..default_provider()
        })
    })
}

/// What the options ask for.
///
/// # Errors
/// A name is no suite's, or what is left does not do.
pub(crate) fn spoken(options: &TlsOptions) -> Result<Spoken, TlsError> {
    of(
        &options.cipher_suites,
        options.min_version..=options.max_version,
    )
}

/// All that there is.
///
/// # Errors
/// None, as long as the list of all suites does.
pub(crate) fn all() -> Result<Spoken, TlsError> {
    of(&[], TlsVersion::V1_2..=TlsVersion::V1_3)
}

fn of(suites: &[String], asked: RangeInclusive<TlsVersion>) -> Result<Spoken, TlsError> {
    let versions = [
        (TlsVersion::V1_2, &rustls::version::TLS12),
        (TlsVersion::V1_3, &rustls::version::TLS13),
    ];
    let versions: Vec<_> = versions
        .into_iter()
        .filter_map(|(version, it)| asked.contains(&version).then_some(it))
        .collect();
    if versions.is_empty() {
        return Err(TlsError::new(
            "the lowest version of TLS is above the highest",
        ));
    }
    let (provider, ignored) = filtered(suites)?;
    Ok(Spoken {
        provider,
        versions,
        ignored,
    })
}

fn filtered(names: &[String]) -> Result<(Arc<CryptoProvider>, Vec<String>), TlsError> {
    if names.is_empty() {
        return Ok((provider().clone(), Vec::new()));
    }
    let (mut asked, mut ignored) = (Vec::new(), Vec::new());
    for name in names {
        let alias = ALIASES.iter().find(|(alias, _)| alias == name);
        let current = alias.map_or(name.as_str(), |(_, current)| current);
        let is = |(known, _): &&(&str, SupportedCipherSuite)| *known == current;
        if let Some((_, suite)) = SUITES.iter().find(is) {
            asked.push(*suite);
        } else if ABSENT.contains(&current) {
            ignored.push(name.clone());
        } else if !SUITES_1_3.iter().any(|known| is(&known)) {
            return Err(TlsError(format!("unexpected TLS cipher suite {name:?}")));
        }
    }
    let for_http2 = [SUITES[0].1, SUITES[1].1];
    if !asked.iter().any(|suite| for_http2.contains(suite)) {
        return Err(TlsError::new(MISSING_FOR_HTTP2));
    }
    let listed = SUITES.iter().filter(|(_, suite)| asked.contains(suite));
    let provider = CryptoProvider {
        cipher_suites: SUITES_1_3.iter().chain(listed).map(|it| it.1).collect(),
        ..(**provider()).clone()
    };
    Ok((Arc::new(provider), ignored))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn suites_are_known_by_the_names_of_go() {
        let asked = [
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_AES_128_GCM_SHA256",
        ];
        let (provider, ignored) = filtered(&names(&asked)).unwrap();
        let suites: Vec<_> = provider.cipher_suites.iter().map(|it| it.suite()).collect();
        let expected: Vec<_> = SUITES_1_3
            .iter()
            .chain([&SUITES[1], &SUITES[5]])
            .map(|it| it.1.suite())
            .collect();
        assert_eq!(suites, expected);
        assert_eq!(ignored, names(&["TLS_RSA_WITH_AES_128_CBC_SHA"]));
        let all = SUITES.iter().map(|it| it.0).chain(ABSENT);
        let (_, ignored) = filtered(&names(&all.collect::<Vec<_>>())).unwrap();
        assert_eq!(ignored, names(&ABSENT));
    }

    #[test]
    fn lists_that_do_not_do_are_refused() {
        let refusal = |list: &[&str]| filtered(&names(list)).unwrap_err().0;
        assert_eq!(
            refusal(&["TLS_FOO"]),
            "unexpected TLS cipher suite \"TLS_FOO\""
        );
        for list in [
            &["TLS_RSA_WITH_AES_128_CBC_SHA"][..],
            &["TLS_AES_128_GCM_SHA256"],
            &["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
        ] {
            assert_eq!(refusal(list), MISSING_FOR_HTTP2);
        }
    }
}
