//! What a range selects: a walk in key order, or a sorted list; both give pages.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::limits::RANGE_PAGE_KEYS;
use crate::proto::etcdserverpb::range_request::SortTarget;
use crate::tree::Tree;

use super::kv::KvView;
use super::page::{Item, Items, Page, ReadError, Walk};
use super::plan::{Plan, Sort};
use super::state::State;

/// A way to the store's state: readers lock it for every look, a running txn holds it.
pub(super) trait Look {
    fn look<R>(&self, f: impl FnOnce(&State) -> R) -> R;
    fn tree(&self) -> Arc<Tree>;
}

/// A state that the caller holds.
pub(super) struct Held<'a> {
    pub state: &'a State,
    pub tree: &'a Arc<Tree>,
}

impl Look for Held<'_> {
    fn look<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(self.state)
    }

    fn tree(&self) -> Arc<Tree> {
        Arc::clone(self.tree)
    }
}

/// The keys of an answer at one revision, not yet read. A clone starts where the original stands.
#[derive(Clone)]
pub(super) struct Selection {
    pub plan: Arc<Plan>,
    pub at: i64,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Walk(Walk),
    List {
        items: Arc<Items>,
        position: usize,
        more: bool,
    },
}

impl Selection {
    /// What an unsorted plan selects.
    pub fn walk(plan: Arc<Plan>, at: i64) -> Self {
        debug_assert!(plan.sort.is_none());
        let walk = Walk::new(&plan, plan.limit);
        Self {
            plan,
            at,
            source: Source::Walk(walk),
        }
    }

    /// What any plan selects; a sorted one is read and sorted here. The revision must be pinned or held.
    pub fn load(plan: Arc<Plan>, at: i64, look: &impl Look) -> Result<Self, ReadError> {
        let Some(sort) = plan.sort else {
            return Ok(Self::walk(plan, at));
        };
        let mut items = sorted_items(&plan, sort, at, look)?;
        let more = items.items.len() > plan.limit;
        items.items.truncate(plan.limit);
        Ok(Self {
            plan,
            at,
            source: Source::List {
                items: Arc::new(items),
                position: 0,
                more,
            },
        })
    }

    pub fn is_done(&self) -> bool {
        match &self.source {
            Source::Walk(walk) => walk.is_done(),
            Source::List {
                items, position, ..
            } => *position == items.items.len(),
        }
    }

    /// Whether the limit cut the answer. Known when done.
    pub fn more(&self) -> bool {
        match &self.source {
            Source::Walk(walk) => walk.more,
            Source::List { more, .. } => *more,
        }
    }

    /// The next page, of at most `keys_max` keys; it may be empty before the end.
    pub fn page(&mut self, state: &State, keys_max: usize) -> Page {
        let items = match &mut self.source {
            Source::Walk(walk) => walk.items(&self.plan, state, self.at, keys_max),
            Source::List {
                items, position, ..
            } => {
                let end = items.items.len().min(*position + keys_max);
                let mut page = Items::default();
                for item in &items.items[*position..end] {
                    page.push(items.key(item), item.found);
                }
                *position = end;
                page
            }
        };
        Page::resolve(items, &self.plan, state)
    }
}

/// The keys of the range that the plan sorts, in its order. Equal ones stay in key order.
fn sorted_items(plan: &Plan, sort: Sort, at: i64, look: &impl Look) -> Result<Items, ReadError> {
    let mut items = Items::default();
    let mut values = Vec::new();
    let mut walk = Walk::new(plan, plan.sorted_keys_max);
    while !walk.is_done() {
        if sort.target != SortTarget::Value {
            items.append(look.look(|state| walk.items(plan, state, at, RANGE_PAGE_KEYS)));
            continue;
        }
        let page = look.look(|state| {
            let items = walk.items(plan, state, at, RANGE_PAGE_KEYS);
            Page::resolve(items, plan, state)
        });
        values.append(&mut page_values(&page, look)?);
        items.append(page.items);
    }
    let mut order: Vec<u32> = (0..items.items.len() as u32).collect();
    let compare = |a: &u32, b: &u32| {
        let (a, b) = (*a as usize, *b as usize);
        let order = match sort.target {
            SortTarget::Value => values[a].cmp(&values[b]),
            // The walk came in key order.
            SortTarget::Key => a.cmp(&b),
            _ => compare_items(sort.target, &items.items[a], &items.items[b]),
        };
        if sort.descending {
            order.reverse()
        } else {
            order
        }
    };
    order.sort_by(compare);
    items.items = order.iter().map(|i| items.items[*i as usize]).collect();
    Ok(items)
}

/// Orders two items by a target that the index knows.
fn compare_items(target: SortTarget, a: &Item, b: &Item) -> Ordering {
    match target {
        SortTarget::Version => a.found.version.cmp(&b.found.version),
        SortTarget::Create => a.found.created.cmp(&b.found.created),
        SortTarget::Mod => a.found.modified.main.cmp(&b.found.modified.main),
        SortTarget::Key | SortTarget::Value => Ordering::Equal,
    }
}

fn page_values(page: &Page, look: &impl Look) -> Result<Vec<Box<[u8]>>, ReadError> {
    let tree = look.tree();
    let snapshot = tree.snapshot()?;
    let mut stored = snapshot.lookups();
    let value = |i: usize| {
        let kv = KvView::parse(page.stored(i, &mut stored)?).ok_or(ReadError::Gone)?;
        Ok(Box::from(kv.value))
    };
    (0..page.len()).map(value).collect()
}

/// Puts one page into the plan's order, as RangeStream does within a message.
pub(super) fn sort_page(
    page: Page,
    sort: Sort,
    plan: &Plan,
    look: &impl Look,
) -> Result<Page, ReadError> {
    let values = match sort.target {
        SortTarget::Value => page_values(&page, look)?,
        _ => Vec::new(),
    };
    let items = &page.items.items;
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| match sort.target {
        SortTarget::Value => values[*a].cmp(&values[*b]),
        target => compare_items(target, &items[*a], &items[*b]),
    });
    let mut sorted = Items::default();
    for i in order {
        sorted.push(page.items.key(&items[i]), items[i].found);
    }
    Ok(look.look(|state| Page::resolve(sorted, plan, state)))
}
