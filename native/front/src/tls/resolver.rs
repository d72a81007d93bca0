//! The system's answers about names: /etc/hosts, name servers, or what else it is told to ask.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ptr;

use socket2::SockAddr;

use super::hosts::Resolver;

/// Bytes of a name with its end, as the system has them at most.
const NAME_BYTES_MAX: usize = 1025;

/// Asks the C library.
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn names(&self, address: IpAddr) -> Result<Vec<String>, String> {
        let at = SockAddr::from(SocketAddr::new(address, 0));
        let mut name = [0; NAME_BYTES_MAX];
        // SAFETY: `at` holds a socket address of `at.len()` bytes, and `name` has room for as many as are said; both live
        // until the call returns. No service is asked for.
        let code = unsafe {
            libc::getnameinfo(
                at.as_ptr().cast(),
                at.len(),
                name.as_mut_ptr(),
                NAME_BYTES_MAX as libc::socklen_t,
                ptr::null_mut(),
                0,
                libc::NI_NAMEREQD,
            )
        };
        match code {
            0 => {
                let name = name.map(|byte| byte as u8);
                let name = CStr::from_bytes_until_nul(&name).map_err(|error| error.to_string())?;
                Ok(vec![name.to_string_lossy().into_owned()])
            }
            libc::EAI_NONAME => Err(format!("lookup {address}: no such host")),
            libc::EAI_AGAIN => Err(format!("lookup {address}: server misbehaving")),
            other => Err(format!("lookup {address}: error {other}")),
        }
    }

    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = (name, 0).to_socket_addrs();
        let found =
            found.map_err(|error| format!("lookup {name}: {}", in_go(&error.to_string())))?;
        Ok(found.map(|each| each.ip()).collect())
    }
}

/// What Go says for the answers that are common.
fn in_go(text: &str) -> &str {
    let text = text.rsplit(": ").next().unwrap_or(text);
    match text {
        "Name or service not known" | "No address associated with hostname" => "no such host",
        "Temporary failure in name resolution" => "server misbehaving",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_its_usual_name_and_a_name_that_cannot_be_has_none() {
        let local = SystemResolver.addresses("localhost").expect("a name");
        assert!(local.iter().any(IpAddr::is_loopback), "{local:?}");
        let names = SystemResolver.names(IpAddr::from([127, 0, 0, 1]));
        assert!(
            names
                .expect("an address")
                .iter()
                .all(|name| !name.is_empty())
        );
        // A label of 64 bytes is one too long, which the system knows without asking anyone.
        let long = "a".repeat(64);
        let problem = SystemResolver.addresses(&long).expect_err("no name");
        assert!(
            problem.starts_with(&format!("lookup {long}: ")),
            "{problem}"
        );
    }
}
