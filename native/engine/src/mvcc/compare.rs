//! The compares of a txn and the branch they choose.

use crate::limits::RANGE_PAGE_KEYS;
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{Compare, RangeRequest, RequestOp, TxnRequest};

use super::kv::KvView;
use super::page::{Page, ReadError, Walk};
use super::plan::Plan;
use super::select::Look;

/// What the compares of a txn came to.
#[derive(Default)]
pub(super) struct Chosen {
    /// The branches that it and its nested txns take, in the order in which they are met.
    pub path: Vec<bool>,
    /// How many compares were made: each is a range to the metrics.
    pub compares: u64,
}

/// Makes all compares, before the first write: a nested txn's do not see its parents' writes.
pub(super) fn choose_branches(
    look: &impl Look,
    txn: &TxnRequest,
    at: i64,
) -> Result<Chosen, ReadError> {
    let mut chosen = Chosen::default();
    choose(look, txn, at, &mut chosen)?;
    Ok(chosen)
}

fn choose(
    look: &impl Look,
    txn: &TxnRequest,
    at: i64,
    chosen: &mut Chosen,
) -> Result<(), ReadError> {
    let mut succeeded = true;
    for compare in &txn.compare {
        chosen.compares += 1;
        if !holds(look, compare, at)? {
            succeeded = false;
            break;
        }
    }
    chosen.path.push(succeeded);
    for op in branch(txn, succeeded) {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            choose(look, nested, at, chosen)?;
        }
    }
    Ok(())
}

/// The operations of the chosen branch.
pub(super) fn branch(txn: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded {
        &txn.success
    } else {
        &txn.failure
    }
}

/// Whether a compare holds for every key of its range, or for the missing key if there is none.
fn holds(look: &impl Look, compare: &Compare, at: i64) -> Result<bool, ReadError> {
    let by_value = matches!(
        compare.target(),
        CompareTarget::Value | CompareTarget::Lease
    );
    let plan = Plan {
        index_only: !by_value,
        ..Plan::new(&RangeRequest {
            key: compare.key.clone(),
            range_end: compare.range_end.clone(),
            ..RangeRequest::default()
        })
    };
    let mut walk = Walk::new(&plan, usize::MAX);
    let mut any = false;
    while !walk.is_done() {
        let page = look.look(|state| {
            let items = walk.items(&plan, state, at, RANGE_PAGE_KEYS);
            Page::resolve(items, &plan, state)
        });
        any |= page.len() > 0;
        if !page_holds(look, compare, &plan, &page)? {
            return Ok(false);
        }
    }
    // A missing key has no value to compare with; its numbers are 0.
    Ok(any || (compare.target() != CompareTarget::Value && kv_holds(compare, &KvView::default())))
}

fn page_holds(
    look: &impl Look,
    compare: &Compare,
    plan: &Plan,
    page: &Page,
) -> Result<bool, ReadError> {
    if plan.index_only {
        let view = |i: usize| {
            let found = page.items.items[i].found;
            KvView {
                create_revision: found.created,
                mod_revision: found.modified.main,
                version: found.version,
                ..KvView::default()
            }
        };
        return Ok((0..page.len()).all(|i| kv_holds(compare, &view(i))));
    }
    let tree = look.tree();
    let snapshot = tree.snapshot()?;
    let mut stored = snapshot.lookups();
    for i in 0..page.len() {
        let kv = KvView::parse(page.stored(i, &mut stored)?).ok_or(ReadError::Gone)?;
        if !kv_holds(compare, &kv) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares one KeyValue. A target that is not given is 0 or the empty value; an operator outside the enum always
/// holds.
fn kv_holds(compare: &Compare, kv: &KvView<'_>) -> bool {
    let union = compare.target_union.as_ref();
    let order = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => match union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.cmp(b""),
        },
        Ok(CompareTarget::Create) => match union {
            Some(TargetUnion::CreateRevision(revision)) => kv.create_revision.cmp(revision),
            _ => kv.create_revision.cmp(&0),
        },
        Ok(CompareTarget::Mod) => match union {
            Some(TargetUnion::ModRevision(revision)) => kv.mod_revision.cmp(revision),
            _ => kv.mod_revision.cmp(&0),
        },
        Ok(CompareTarget::Version) => match union {
            Some(TargetUnion::Version(version)) => kv.version.cmp(version),
            _ => kv.version.cmp(&0),
        },
        Ok(CompareTarget::Lease) => match union {
            Some(TargetUnion::Lease(lease)) => kv.lease.cmp(lease),
            _ => kv.lease.cmp(&0),
        },
        Err(_) => std::cmp::Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Err(_) => true,
    }
}
