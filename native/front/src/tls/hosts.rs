//! Whether a certificate may come from where its caller is: another member's is for the address that it calls from, or for
//! a name of that address. See `SystemResolver` for the lookups.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::TlsError;
use super::certificate::Certificate;
use super::names::verify_hostname;
use super::quoted;
use crate::limits::{HOST_LOOKUP_TIMEOUT, HOST_LOOKUPS_MAX};

/// Names of addresses, and addresses of names. An error says why there are none. Blocks.
pub trait Resolver: Send + Sync + 'static {
    /// What the address is called, by the reverse lookup.
    fn names(&self, address: IpAddr) -> Result<Vec<String>, String>;
    /// Where the name is.
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String>;
}

/// Lookups that run, of all connections: a name server that is silent must not cost threads without end.
static LOOKUPS: Semaphore = Semaphore::const_new(HOST_LOOKUPS_MAX);

/// Whether a certificate may come from `remote`; the error is etcd's. One that is for nobody may come from everywhere. The
/// two ways to find out about names go at once: where one of them has to wait for a name server that is silent, the other
/// has its chance.
///
/// # Errors
/// It may not.
pub(crate) async fn check(
    certificate: &Certificate,
    remote: IpAddr,
    resolver: &Arc<dyn Resolver>,
) -> Result<(), TlsError> {
    check_within(HOST_LOOKUP_TIMEOUT, certificate, remote, resolver).await
}

async fn check_within(
    limit: Duration,
    certificate: &Certificate,
    remote: IpAddr,
    resolver: &Arc<dyn Resolver>,
) -> Result<(), TlsError> {
    let remote = remote.to_canonical();
    let dns_names = &certificate.dns_names;
    if dns_names.is_empty() {
        return if certificate.ip_addresses.is_empty() {
            Ok(())
        } else {
            verify_hostname(certificate, &remote.to_string())
        };
    }
    if certificate.ip_addresses.contains(&remote) {
        return Ok(());
    }
    let both = async {
        tokio::try_join!(
            is_called_so(dns_names, remote, resolver),
            is_where_they_are(dns_names, remote, resolver)
        )
    };
    let problem = match timeout(limit, both).await {
        Ok(Err(Found)) => return Ok(()),
        Ok(Ok((reverse, forward))) => forward.or(reverse),
        Err(_late) => Some(format!("lookup {remote}: i/o timeout")),
    };
    let problem = problem.map(|text| format!(" ({text})"));
    Err(TlsError(format!(
        "tls: \"{remote}\" does not match any of DNSNames {}{}",
        quoted(dns_names),
        problem.unwrap_or_default()
    )))
}

/// The certificate may come from there; no other lookup is waited for.
struct Found;

/// What the last lookup failed with, when none has found anything.
type Lookups = Result<Option<String>, Found>;

/// Whether a name of the address stands in the certificate, or goes with a wildcard there.
async fn is_called_so(
    dns_names: &[String],
    remote: IpAddr,
    resolver: &Arc<dyn Resolver>,
) -> Lookups {
    let asked = resolver.clone();
    let names = match look_up(move || asked.names(remote)).await {
        Ok(names) => names,
        Err(problem) => return Ok(Some(problem)),
    };
    let is_good = |name: &String| {
        let name = name.strip_suffix('.').unwrap_or(name);
        dns_names.iter().any(|allowed| match wildcard(allowed) {
            Some(end) => name.ends_with(end),
            None => name == allowed,
        })
    };
    if names.iter().any(is_good) {
        Err(Found)
    } else {
        Ok(None)
    }
}

/// Whether a name of the certificate has the address.
async fn is_where_they_are(
    dns_names: &[String],
    remote: IpAddr,
    resolver: &Arc<dyn Resolver>,
) -> Lookups {
    let mut problem = None;
    for name in dns_names.iter().filter(|name| wildcard(name).is_none()) {
        let (asked, of) = (resolver.clone(), name.clone());
        match look_up(move || asked.addresses(&of)).await {
            Ok(found) if found.iter().any(|each| each.to_canonical() == remote) => {
                return Err(Found);
            }
            Ok(_elsewhere) => {}
            Err(text) => problem = Some(text),
        }
    }
    Ok(problem)
}

/// What names end with that go with this one, from its dot on; None: it is no wildcard.
fn wildcard(name: &str) -> Option<&str> {
    name.starts_with("*.").then(|| &name[1..])
}

/// Runs a lookup on a thread of its own, for which no runtime has to wait when it ends.
async fn look_up<T: Send + 'static>(
    lookup: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let place = LOOKUPS
        .acquire()
        .await
        .map_err(|closed| closed.to_string())?;
    let (answer, answered) = oneshot::channel();
    let body = move || {
        // Who asked may wait no longer.
        let _ = answer.send(lookup());
        drop(place);
    };
    let thread = thread::Builder::new().name("netcd-lookup".into());
    thread.spawn(body).map_err(|error| error.to_string())?;
    answered.await.map_err(|lost| lost.to_string())?
}

#[cfg(test)]
#[path = "hosts_test.rs"]
mod tests;
