//! The compiled policy: whether a request gets a line.

use std::collections::HashSet;

use bytes::Bytes;

use super::config::{AuditResult, AuditRule};
use super::requests::Tells;
use crate::grpc::methods::{METHODS, MethodId};

/// Behind the path of an RPC: its requests that do no more than look.
const LOOKS: &str = "#read";

/// RPCs with such requests; each has a bit of its own behind those of the methods.
const LOOKING: [&str; 2] = ["/etcdserverpb.KV/Txn", "/etcdserverpb.Maintenance/Alarm"];

const _: () = assert!(METHODS.len() + LOOKING.len() <= u64::BITS as usize);

/// The bit of a call in a set of calls.
fn bit(method: MethodId, only_looks: bool) -> u64 {
    let looking = || LOOKING.iter().position(|path| *path == method.get().path);
    match only_looks.then(looking).flatten() {
        Some(at) => 1 << (METHODS.len() + at),
        None => 1 << method.0,
    }
}

/// The bit of a call as the control plane names it.
fn bit_of(call: &str) -> Option<u64> {
    let path = call.strip_suffix(LOOKS);
    let looks = path.is_some();
    let path = path.unwrap_or(call);
    let method = MethodId::find(path)?;
    (!looks || LOOKING.contains(&path)).then(|| bit(method, looks))
}

/// The results for which a request gets a line, of those that it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict(pub(crate) u8);

impl Verdict {
    const ALL: u8 = (1 << AuditResult::ALL.len()) - 1;

    pub(crate) fn logs(self, result: AuditResult) -> bool {
        self.0 & 1 << result as u8 != 0
    }

    pub(crate) fn logs_any(self) -> bool {
        self.0 != 0
    }
}

struct Rule {
    calls: u64,
    results: u8,
    users: Option<HashSet<Bytes>>,
    prefixes: Option<Vec<Bytes>>,
    logged: bool,
}

impl Rule {
    fn compile(rule: &AuditRule) -> Result<Self, String> {
        let mut calls = 0;
        for call in &rule.calls {
            calls |= bit_of(call).ok_or_else(|| format!("no such call: {call}"))?;
        }
        Ok(Self {
            calls,
            results: rule
                .results
                .iter()
                .fold(0, |all, result| all | 1 << *result as u8),
            users: rule.users.clone().map(HashSet::from_iter),
            prefixes: rule.prefixes.clone(),
            logged: rule.logged,
        })
    }

    fn matches(&self, user: &[u8], request: &dyn Tells) -> bool {
        self.users.as_ref().is_none_or(|users| users.contains(user))
            && self
                .prefixes
                .as_ref()
                .is_none_or(|prefixes| self.touches(prefixes, request))
    }

    /// One key below the prefixes is enough for a line; no line needs all of them there, so that nobody hides a write
    /// behind one that is not logged.
    fn touches(&self, prefixes: &[Bytes], request: &dyn Tells) -> bool {
        let (mut any, mut all) = (false, true);
        request.ranges(&mut |key, range_end| {
            any |= prefixes
                .iter()
                .any(|prefix| overlaps(prefix, key, range_end));
            all &= prefixes.iter().any(|prefix| covers(prefix, key, range_end));
        });
        any && (self.logged || all)
    }
}

/// The end of a range as a request has it: nothing for one key, `\0` for all keys from the first on.
enum End<'a> {
    Single,
    Open,
    Before(&'a [u8]),
}

fn end_of(range_end: &[u8]) -> End<'_> {
    match range_end {
        [] => End::Single,
        [0] => End::Open,
        end => End::Before(end),
    }
}

/// Whether some key of the range begins with the prefix.
fn overlaps(prefix: &[u8], key: &[u8], range_end: &[u8]) -> bool {
    match end_of(range_end) {
        End::Single => key.starts_with(prefix),
        // The first key that begins with it is the prefix itself; the range begins at or before one that does.
        End::Open => key <= prefix || key.starts_with(prefix),
        End::Before(end) => prefix < end && (key <= prefix || key.starts_with(prefix)) && key < end,
    }
}

/// Whether every key of the range begins with the prefix.
fn covers(prefix: &[u8], key: &[u8], range_end: &[u8]) -> bool {
    key.starts_with(prefix)
        && match end_of(range_end) {
            End::Single => true,
            End::Open => after(prefix).is_none(),
            End::Before(end) => after(prefix).is_none_or(|after| end <= after.as_slice()),
        }
}

/// The first key behind all that begin with the prefix; None: there is none.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

fn methods_logged(rules: &[Rule], result: AuditResult) -> u64 {
    let calls = rules
        .iter()
        .filter(|rule| rule.logged && rule.results & 1 << result as u8 != 0)
        .fold(0, |all, rule| all | rule.calls);
    (0..METHODS.len() as u8)
        .map(MethodId)
        .filter(|method| calls & (bit(*method, false) | bit(*method, true)) != 0)
        .fold(0, |all, method| all | bit(method, false))
}

pub(crate) struct Policy {
    rules: Vec<Rule>,
    /// By result the methods of which some request may get a line: nothing is done for the others.
    methods: [u64; AuditResult::ALL.len()],
}

impl Policy {
    /// # Errors
    /// A rule names a call that there is not.
    pub(crate) fn compile(rules: &[AuditRule]) -> Result<Self, String> {
        let rules: Vec<Rule> = rules.iter().map(Rule::compile).collect::<Result<_, _>>()?;
        let methods = AuditResult::ALL.map(|result| methods_logged(&rules, result));
        Ok(Self { rules, methods })
    }

    /// Whether a request of this RPC may get a line, whatever comes of it.
    pub(crate) fn may_log(&self, method: MethodId) -> bool {
        let methods = self.methods.iter().fold(0, |all, some| all | some);
        methods & bit(method, false) != 0
    }

    /// Whether a request of this RPC may get a line when this comes of it.
    pub(crate) fn may_log_result(&self, method: MethodId, result: AuditResult) -> bool {
        self.methods[result as usize] & bit(method, false) != 0
    }

    /// For which results this request gets a line. The empty name is that of nobody.
    pub(crate) fn verdict(&self, method: MethodId, user: &[u8], request: &dyn Tells) -> Verdict {
        let call = bit(method, request.only_looks());
        let (mut logged, mut undecided) = (0, Verdict::ALL);
        for rule in &self.rules {
            let decides = rule.results & undecided;
            if rule.calls & call == 0 || decides == 0 || !rule.matches(user, request) {
                continue;
            }
            if rule.logged {
                logged |= decides;
            }
            undecided &= !decides;
            if undecided == 0 {
                break;
            }
        }
        Verdict(logged)
    }
}

#[cfg(test)]
#[path = "policy_test.rs"]
mod tests;
