//! What lines never say.

use std::collections::BTreeSet;

use netcd_engine::wire::{Kind, Shape, request_shape, shape_at};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::grpc::methods::METHODS;

/// Texts of requests by message and field that the log may tell. Everything else in a request is a secret: values,
/// passwords, what a client wants to compare.
const TOLD: &[(&str, &[u32])] = &[
    ("RangeRequest", &[1, 2]),
    ("PutRequest", &[1]),
    ("DeleteRangeRequest", &[1, 2]),
    ("Compare", &[3, 64]),
    ("WatchCreateRequest", &[1, 2]),
    ("MemberAddRequest", &[1]),
    ("MemberUpdateRequest", &[2]),
    ("DowngradeRequest", &[2]),
    ("AuthenticateRequest", &[1]),
    ("AuthUserAddRequest", &[1]),
    ("AuthUserGetRequest", &[1]),
    ("AuthUserDeleteRequest", &[1]),
    ("AuthUserChangePasswordRequest", &[1]),
    ("AuthUserGrantRoleRequest", &[1, 2]),
    ("AuthUserRevokeRoleRequest", &[1, 2]),
    ("AuthRoleAddRequest", &[1]),
    ("AuthRoleGetRequest", &[1]),
    ("AuthRoleDeleteRequest", &[1]),
    ("AuthRoleGrantPermissionRequest", &[1]),
    ("Permission", &[2, 3]),
    ("AuthRoleRevokePermissionRequest", &[1, 2, 3]),
    ("CampaignRequest", &[1]),
    ("LeaderRequest", &[1]),
    ("LeaderKey", &[2]),
    ("LockRequest", &[1]),
    ("UnlockRequest", &[1]),
];

/// Random enough, and the same again for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // The constants of Knuth's MMIX; the low bits of such a generator are poor.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A request of this shape in which every text says where it stands; some fields are left out.
fn marked(shape: &Shape, rng: &mut Random, depth: usize, marks: &mut BTreeSet<String>) -> Vec<u8> {
    let short = shape.name.rsplit('.').next().unwrap();
    let mut out = Vec::new();
    for field in shape.fields {
        if rng.below(10) == 0 {
            continue;
        }
        match field.kind {
            Kind::Varint => {
                varint(&mut out, u64::from(field.number) << 3);
                varint(&mut out, rng.below(5));
            }
            Kind::Varints => {}
            Kind::Bytes | Kind::Text => {
                let mark = format!("<{short}.{}>", field.number);
                varint(&mut out, u64::from(field.number) << 3 | 2);
                varint(&mut out, mark.len() as u64);
                out.extend_from_slice(mark.as_bytes());
                marks.insert(mark);
            }
            Kind::Message(at) if depth > 0 => {
                let inner = marked(shape_at(at), rng, depth - 1, marks);
                varint(&mut out, u64::from(field.number) << 3 | 2);
                varint(&mut out, inner.len() as u64);
                out.extend_from_slice(&inner);
            }
            Kind::Message(_) => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_value_and_no_password_is_ever_told(at in 0..METHODS.len(), seed: u64) {
        let path = METHODS[at].path;
        let (mut rng, mut marks) = (Random(seed), BTreeSet::new());
        let message = marked(request_shape(path).unwrap(), &mut rng, 4, &mut marks);
        let noted = noted(b"alice", &*decoded(method(path), &message.into()));
        let line = line_of(&record(path, &noted));
        serde_json::from_str::<Value>(&line).unwrap();
        for mark in marks {
            let (name, number) = mark[1..mark.len() - 1].rsplit_once('.').unwrap();
            let number: u32 = number.parse().unwrap();
            let may_be_told = TOLD.iter().any(|(known, fields)| *known == name && fields.contains(&number));
            if !may_be_told {
                prop_assert!(!line.contains(&mark), "{mark} in {line}");
            }
        }
    }
}

#[test]
fn all_that_may_be_told_is() {
    let (mut rng, mut lines, mut marks) = (Random(1), String::new(), BTreeSet::new());
    for _ in 0..50 {
        for of in METHODS {
            let message = marked(request_shape(of.path).unwrap(), &mut rng, 4, &mut marks);
            let noted = noted(b"", &*decoded(method(of.path), &message.into()));
            lines += &line_of(&record(of.path, &noted));
        }
    }
    for (name, fields) in TOLD {
        for field in *fields {
            let mark = format!("<{name}.{field}>");
            assert!(lines.contains(&mark), "{mark} is never told");
        }
    }
    // The requests did have the secrets.
    for secret in [
        "<PutRequest.2>",
        "<Compare.7>",
        "<AuthenticateRequest.2>",
        "<AuthUserAddRequest.2>",
        "<AuthUserAddRequest.4>",
        "<AuthUserChangePasswordRequest.2>",
        "<ProclaimRequest.2>",
    ] {
        assert!(marks.contains(secret), "{secret}");
        assert!(!lines.contains(secret), "{secret}");
    }
}
