//! Settings of an audit log, and txns for it.

use std::path::PathBuf;

use netcd_engine::proto::etcdserverpb::request_op::Request;
use netcd_engine::proto::etcdserverpb::{RequestOp, TxnRequest};
use netcd_front::{AuditConfig, AuditResult, AuditRule, FrontConfig, METHODS};
use prost::Message;

/// A rule that logs all requests of these calls, or of all that there are.
pub fn rule(calls: &[&str]) -> AuditRule {
    let all = METHODS.iter().map(|method| method.path);
    let calls: Vec<&str> = match calls {
        [] => all.chain(["/etcdserverpb.KV/Txn#read"]).collect(),
        some => some.to_vec(),
    };
    AuditRule {
        calls: calls.into_iter().map(str::to_owned).collect(),
        users: None,
        prefixes: None,
        results: vec![AuditResult::Ok, AuditResult::Refused, AuditResult::Failed],
        logged: true,
    }
}

pub fn config(path: PathBuf, blocks: bool, rules: Vec<AuditRule>) -> FrontConfig {
    FrontConfig {
        audit: Some(AuditConfig {
            path,
            bytes_max: None,
            age_max: None,
            backups_max: None,
            blocks,
            rules,
        }),
        ..FrontConfig::default()
    }
}

pub fn txn(success: Vec<Request>) -> Vec<u8> {
    let op = |request| RequestOp {
        request: Some(request),
    };
    TxnRequest {
        success: success.into_iter().map(op).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}
