//! The handshake of a peer stream: the headers by which two members make sure that they belong together.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::limits;

/// Path of the stream that carries raft messages.
pub const STREAM_PATH: &str = "/netcd/peer/stream";

/// Path of the stream that carries a copy of the store.
pub const SNAPSHOT_PATH: &str = "/netcd/peer/snapshot";
/// Body of the answer to a copy that arrived whole.
pub const STORED: &str = "stored";

/// Body of the answer to a stream of messages whose receiver is about to stop: nothing more should come on it.
pub const LEAVING: &str = "leaving";

const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
const FROM: HeaderName = HeaderName::from_static("x-server-from");
const TO: HeaderName = HeaderName::from_static("x-raft-to");
const VERSION: HeaderName = HeaderName::from_static("x-server-version");
const MIN_VERSION: HeaderName = HeaderName::from_static("x-min-cluster-version");
const PEER_URLS: HeaderName = HeaderName::from_static("x-peerurls");

/// What a member says of itself to its peers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// Id of the cluster.
    pub cluster_id: u64,
    /// Id of this member.
    pub member_id: u64,
    /// Version of this server, `3.7.3`.
    pub version: String,
    /// Oldest cluster version that it can join.
    pub min_cluster_version: String,
    /// Peer URLs that it advertises.
    pub peer_urls: Vec<String>,
}

/// Why a member refuses a peer: status and text as etcd sends them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP body.
    pub text: &'static str,
    /// A sender that nothing speaks against but that it is not known: it may have become a member since this one was
    /// last told of the members.
    pub stranger: Option<u64>,
}

impl Refusal {
    const fn new(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            stranger: None,
        }
    }
}

/// Headers of a stream from this member to `to`.
pub fn request_headers(identity: &Identity, to: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let texts = [
        (CLUSTER_ID, format!("{:x}", identity.cluster_id)),
        (FROM, format!("{:x}", identity.member_id)),
        (TO, format!("{to:x}")),
        (VERSION, identity.version.clone()),
        (MIN_VERSION, identity.min_cluster_version.clone()),
        (PEER_URLS, identity.peer_urls.join(",")),
    ];
    for (name, text) in texts {
        // URLs and versions were checked as configuration; a byte that no header may hold leaves the header out.
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Headers of every answer: the peer checks the cluster id too.
pub fn response_headers(identity: &Identity) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let texts = [
        (CLUSTER_ID, format!("{:x}", identity.cluster_id)),
        (VERSION, identity.version.clone()),
    ];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Who sent a stream, if it may: etcd's checks in etcd's order.
pub fn check_request(
    headers: &HeaderMap,
    identity: &Identity,
    is_removed: impl Fn(u64) -> bool,
    is_known: impl Fn(u64) -> bool,
) -> Result<u64, Refusal> {
    let version = text(headers, &VERSION).unwrap_or("2.0.0");
    let min_version = text(headers, &MIN_VERSION).unwrap_or("2.0.0");
    let minor = |version: &str| parse_minor(version);
    if minor(version) < minor(&identity.min_cluster_version)
        || minor(min_version) > minor(&identity.version)
    {
        return Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "incompatible version\n",
        ));
    }
    if hex(headers, &CLUSTER_ID) != Some(identity.cluster_id) {
        return Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "cluster ID mismatch\n",
        ));
    }
    let from = hex(headers, &FROM).ok_or(Refusal::new(StatusCode::NOT_FOUND, "invalid from\n"))?;
    if is_removed(from) {
        return Err(Refusal::new(StatusCode::GONE, "removed member\n"));
    }
    let meant = hex(headers, &TO) == Some(identity.member_id);
    if !is_known(from) {
        return Err(Refusal {
            stranger: meant.then_some(from),
            ..Refusal::new(StatusCode::NOT_FOUND, "error sender not found\n")
        });
    }
    if !meant {
        return Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "to field mismatch\n",
        ));
    }
    Ok(from)
}

/// Peer URLs that the sender of these headers advertises; none if it names more than anybody has.
pub fn peer_urls(headers: &HeaderMap) -> Vec<String> {
    let urls = text(headers, &PEER_URLS).unwrap_or_default();
    if urls.len() > limits::PEER_URLS_BYTES_MAX {
        return Vec::new();
    }
    let urls = urls.split(',').map(str::trim);
    urls.filter(|url| !url.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Version of the server that sent these headers.
pub fn version(headers: &HeaderMap) -> String {
    text(headers, &VERSION).unwrap_or("2.0.0").to_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hex(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    u64::from_str_radix(text(headers, name)?, 16).ok()
}

/// Major and minor; what does not parse counts as the oldest version.
fn parse_minor(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(member_id: u64) -> Identity {
        Identity {
            cluster_id: 0xd1cf_af99_9eb9_7a2a,
            member_id,
            version: "3.7.3".into(),
            min_cluster_version: "3.0.0".into(),
            peer_urls: vec!["http://127.0.0.1:1".into(), "http://127.0.0.1:2".into()],
        }
    }

    fn check(headers: &HeaderMap) -> Result<u64, (u16, &'static str)> {
        check_request(headers, &identity(2), |id| id == 9, |id| id == 1)
            .map_err(|refusal| (refusal.status.as_u16(), refusal.text))
    }

    #[test]
    fn a_known_member_of_the_cluster_is_let_in() {
        let headers = request_headers(&identity(1), 2);
        assert_eq!(check(&headers), Ok(1));
        assert_eq!(headers[PEER_URLS], "http://127.0.0.1:1,http://127.0.0.1:2");
        assert_eq!(version(&headers), "3.7.3");
    }

    #[test]
    fn only_a_sender_of_this_cluster_that_means_this_member_may_be_a_member_not_yet_heard_of() {
        let stranger = |headers: &HeaderMap| {
            check_request(headers, &identity(2), |id| id == 9, |id| id == 1)
                .err()
                .and_then(|refusal| refusal.stranger)
        };
        assert_eq!(stranger(&request_headers(&identity(3), 2)), Some(3));
        assert_eq!(stranger(&request_headers(&identity(3), 7)), None);
        assert_eq!(stranger(&request_headers(&identity(9), 2)), None);
        assert_eq!(stranger(&request_headers(&identity(1), 7)), None);
        let other = Identity {
            cluster_id: 5,
            ..identity(3)
        };
        assert_eq!(stranger(&request_headers(&other, 2)), None);
    }

    #[test]
    fn a_caller_names_its_urls_and_no_more_than_anybody_has() {
        let mut named = identity(1);
        assert_eq!(peer_urls(&request_headers(&named, 2)), named.peer_urls);
        assert_eq!(peer_urls(&HeaderMap::new()), Vec::<String>::new());
        named.peer_urls = vec!["http://127.0.0.1:1".into(); 1000];
        assert_eq!(peer_urls(&request_headers(&named, 2)), Vec::<String>::new());
    }

    #[test]
    fn strangers_are_refused_as_etcd_refuses_them() {
        assert_eq!(
            check(&request_headers(&identity(3), 2)),
            Err((404, "error sender not found\n"))
        );
        assert_eq!(
            check(&request_headers(&identity(9), 2)),
            Err((410, "removed member\n"))
        );
        assert_eq!(
            check(&request_headers(&identity(1), 7)),
            Err((412, "to field mismatch\n"))
        );
        let other = Identity {
            cluster_id: 5,
            ..identity(1)
        };
        assert_eq!(
            check(&request_headers(&other, 2)),
            Err((412, "cluster ID mismatch\n"))
        );
        let old = Identity {
            version: "2.3.8".into(),
            ..identity(1)
        };
        assert_eq!(
            check(&request_headers(&old, 2)),
            Err((412, "incompatible version\n"))
        );
        let new = Identity {
            min_cluster_version: "3.8.0".into(),
            ..identity(1)
        };
        assert_eq!(
            check(&request_headers(&new, 2)),
            Err((412, "incompatible version\n"))
        );
        assert_eq!(
            check(&HeaderMap::new()),
            Err((412, "incompatible version\n"))
        );
    }
}
