//! A range request, read into what must be done: from where to where, how many, in which order, with which fields.

use crate::index::{Found, RangeEnd};
use crate::proto::etcdserverpb::RangeRequest;
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};

/// An order other than ascending by key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sort {
    pub target: SortTarget,
    pub descending: bool,
}

/// A range request and what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub request: RangeRequest,
    /// Most keys to answer with; usize::MAX = all.
    pub limit: usize,
    /// None = ascending by key, which needs no sorting and lets a limit stop the walk.
    pub sort: Option<Sort>,
    /// Most keys, in key order, that a sort looks at; usize::MAX = all. As in etcd, a sort target without an
    /// order sorts only what the limit let through (and the one key more that tells of `more`).
    pub sorted_keys_max: usize,
    /// The answer has nothing that only the stored value knows.
    pub index_only: bool,
}

impl Plan {
    pub fn new(request: &RangeRequest) -> Self {
        let sort = sort_of(request);
        let by_value = sort.is_some_and(|sort| sort.target == SortTarget::Value);
        let limit = match usize::try_from(request.limit) {
            Ok(limit) if limit > 0 => limit,
            _ => usize::MAX,
        };
        let mut plan = Self {
            limit,
            sort,
            sorted_keys_max: usize::MAX,
            index_only: request.keys_only && !by_value,
            request: request.clone(),
        };
        if request.sort_order() == SortOrder::None && !plan.is_filtered() {
            plan.sorted_keys_max = limit.saturating_add(1);
        }
        plan
    }

    pub fn end(&self) -> RangeEnd<'_> {
        RangeEnd::from_wire(&self.request.range_end)
    }

    /// Whether there are revision filters.
    pub fn is_filtered(&self) -> bool {
        let request = &self.request;
        request.min_mod_revision != 0
            || request.max_mod_revision != 0
            || request.min_create_revision != 0
            || request.max_create_revision != 0
    }

    /// Whether the revision filters let a key through.
    pub fn admits(&self, found: &Found) -> bool {
        let request = &self.request;
        let within = |value: i64, min: i64, max: i64| {
            (min == 0 || value >= min) && (max == 0 || value <= max)
        };
        within(
            found.modified.main,
            request.min_mod_revision,
            request.max_mod_revision,
        ) && within(
            found.created,
            request.min_create_revision,
            request.max_create_revision,
        )
    }
}

/// Without an order but with a target other than the key, the order is ascending.
fn sort_of(request: &RangeRequest) -> Option<Sort> {
    let target = request.sort_target();
    let descending = request.sort_order() == SortOrder::Descend;
    (descending || target != SortTarget::Key).then_some(Sort { target, descending })
}
