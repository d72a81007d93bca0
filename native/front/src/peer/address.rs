//! Where peers are: the URLs of one peer, and how each kind of URL is dialled.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

/// The URLs at which a peer may be reached.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// As the membership has them.
    pub configured: Vec<String>,
    /// As the peer itself named them when it last called: what this member has applied may be older.
    pub told: Vec<String>,
}

impl Addresses {
    /// Each URL once, those of the membership first.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        let news = self.told.iter();
        let news = news.filter(|url| !self.configured.contains(url));
        self.configured.iter().chain(news)
    }
}

/// What a peer URL names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// Where to connect.
    pub socket: Socket,
    /// For whom the certificate of who answers must be; None: the link is not encrypted.
    pub tls_host: Option<String>,
}

/// Where a peer listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Socket {
    /// host:port.
    Tcp(String),
    /// The path of a socket: relative to the working directory in etcd's form `unix://localhost:2380`.
    Unix(PathBuf),
}

impl Address {
    /// None: a kind of URL that cannot be dialled.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (socket, is_encrypted) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Socket::tcp(rest), false),
            "https" => (Socket::tcp(rest), true),
            "unix" => (Socket::Unix(rest.into()), false),
            "unixs" => (Socket::Unix(rest.into()), true),
            _ => return None,
        };
        Some(Self {
            socket,
            tls_host: is_encrypted.then(|| host(rest).to_owned()),
        })
    }
}

impl Socket {
    fn tcp(rest: &str) -> Self {
        Self::Tcp(rest.trim_end_matches('/').to_owned())
    }

    /// Whether this error of a dial says that no process listens there.
    pub fn is_deserted(&self, error: &io::Error) -> bool {
        match self {
            Self::Tcp(_) => error.kind() == io::ErrorKind::ConnectionRefused,
            // A process that ends takes its file with it, one that is killed leaves it behind.
            Self::Unix(_) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ),
        }
    }
}

/// The host of what stands behind a URL's scheme; a path names none, so it is this machine.
fn host(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inside) => inside.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() { "localhost" } else { host }
}

/// Why a URL that `Address::parse` does not take is not dialled.
pub fn unsupported(url: &str) -> String {
    format!("{url}: only http://, https://, unix:// and unixs:// peer URLs can be dialled")
}

/// Connects over TCP; bytes that the peer does not acknowledge end the connection.
pub async fn connect_tcp(authority: &str, unacknowledged_max: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(unacknowledged_max))?;
    Ok(stream)
}

/// Connects to a socket of this machine.
pub async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_url_is_dialled_or_named_as_one_that_is_not() {
        let tcp = |authority: &str| Socket::Tcp(authority.into());
        let unix = |path: &str| Socket::Unix(path.into());
        for (url, socket, tls_host) in [
            ("http://127.0.0.1:2380", tcp("127.0.0.1:2380"), None),
            ("HTTP://[::1]:2380/", tcp("[::1]:2380"), None),
            (
                "https://m1.test:2380/",
                tcp("m1.test:2380"),
                Some("m1.test"),
            ),
            ("HTTPS://[::1]:2380", tcp("[::1]:2380"), Some("::1")),
            ("unix://localhost:2380", unix("localhost:2380"), None),
            ("unix:///run/m1.sock", unix("/run/m1.sock"), None),
            ("unixs://m1:2380", unix("m1:2380"), Some("m1")),
            (
                "unixs:///run/m1.sock",
                unix("/run/m1.sock"),
                Some("localhost"),
            ),
        ] {
            let tls_host = tls_host.map(str::to_owned);
            let address = Address { socket, tls_host };
            assert_eq!(Address::parse(url), Some(address), "{url}");
        }
        for other in ["ftp://127.0.0.1:2380", "127.0.0.1:2380", ""] {
            assert_eq!(Address::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_url_is_tried_once_whoever_named_it() {
        let addresses = Addresses {
            configured: vec!["http://a:1".into(), "http://b:1".into()],
            told: vec!["http://c:1".into(), "http://a:1".into()],
        };
        let all: Vec<_> = addresses.all().collect();
        assert_eq!(all, ["http://a:1", "http://b:1", "http://c:1"]);
    }
}
