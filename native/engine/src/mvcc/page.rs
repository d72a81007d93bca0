//! Pages: runs of keys that a read takes from the index under one lock, and the walk that makes them.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::index::Found;
use crate::tree::{Lookups, TreeError};

use super::encode::{KVS_TAG, message_len, put_message, put_message_head};
use super::kv::KvView;
use super::plan::Plan;
use super::state::State;

/// One key of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Item {
    pub found: Found,
    /// Place of the key in the arena; empty unless the plan needs keys.
    key_start: u32,
    key_len: u32,
}

/// Keys of an answer. Without keys of their own they are named by their revisions.
#[derive(Clone, Default, Debug)]
pub(super) struct Items {
    pub items: Vec<Item>,
    keys: Vec<u8>,
}

impl Items {
    pub fn push(&mut self, key: &[u8], found: Found) {
        let key_start =
            u32::try_from(self.keys.len()).expect("the keys of an answer are below 4 GiB");
        self.keys.extend_from_slice(key);
        self.items.push(Item {
            found,
            key_start,
            key_len: u32::try_from(key.len()).expect("a key is below 4 GiB"),
        });
    }

    pub fn key(&self, item: &Item) -> &[u8] {
        &self.keys[item.key_start as usize..][..item.key_len as usize]
    }

    /// Adds another run behind this one.
    pub fn append(&mut self, other: Items) {
        for item in &other.items {
            self.push(other.key(item), item.found);
        }
    }
}

/// A run of keys and those of their values that were in the tail.
#[derive(Default, Debug)]
pub(super) struct Page {
    pub items: Items,
    /// The encoded KeyValue of each item that is in the tail; empty if the plan needs no values.
    tail: Vec<Option<Bytes>>,
}

/// A KeyValue as it goes into an answer.
pub(super) enum Piece<'a> {
    /// As it is stored.
    Stored(&'a [u8]),
    /// Made from parts.
    Made(KvView<'a>),
}

impl Piece<'_> {
    /// Bytes as an element of RangeResponse.kvs.
    pub fn field_len(&self) -> usize {
        match self {
            Piece::Stored(kv) => message_len(kv.len()),
            Piece::Made(kv) => message_len(kv.encoded_len()),
        }
    }

    /// Appends it as an element of RangeResponse.kvs.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Piece::Stored(kv) => put_message(out, KVS_TAG, kv),
            Piece::Made(kv) => {
                put_message_head(out, KVS_TAG, kv.encoded_len());
                kv.encode(out);
            }
        }
    }
}

/// Why a value could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The revision is nowhere: it was compacted since the index named it.
    Gone,
    /// The tree could not be read.
    Tree(TreeError),
}

impl From<TreeError> for ReadError {
    fn from(error: TreeError) -> Self {
        ReadError::Tree(error)
    }
}

impl Page {
    /// Looks for the items' values in the tail. To be called under the same lock as the page was made, or a later one:
    /// what is not in the tail then is in every snapshot of the tree that is opened afterwards.
    pub fn resolve(items: Items, plan: &Plan, state: &State) -> Self {
        let tail = if plan.index_only {
            Vec::new()
        } else {
            let value = |item: &Item| {
                let record = state.tail.get(item.found.modified)?;
                Some(record.kv.clone())
            };
            items.items.iter().map(value).collect()
        };
        Self { items, tail }
    }

    pub fn len(&self) -> usize {
        self.items.items.len()
    }

    /// The stored KeyValue of item `i`.
    pub fn stored<'a>(&'a self, i: usize, stored: &mut Lookups<'a>) -> Result<&'a [u8], ReadError> {
        if let Some(Some(kv)) = self.tail.get(i) {
            return Ok(kv);
        }
        let revision = self.items.items[i].found.modified;
        stored.get(revision)?.ok_or(ReadError::Gone)
    }

    /// What item `i` adds to the answer.
    pub fn piece<'a>(
        &'a self,
        i: usize,
        plan: &Plan,
        stored: &mut Lookups<'a>,
    ) -> Result<Piece<'a>, ReadError> {
        let item = &self.items.items[i];
        if plan.index_only {
            return Ok(Piece::Made(KvView {
                key: self.items.key(item),
                create_revision: item.found.created,
                mod_revision: item.found.modified.main,
                version: item.found.version,
                ..KvView::default()
            }));
        }
        let kv = self.stored(i, stored)?;
        if !plan.request.keys_only {
            return Ok(Piece::Stored(kv));
        }
        let view = KvView::parse(kv).ok_or(ReadError::Gone)?;
        Ok(Piece::Made(KvView { value: b"", ..view }))
    }
}

/// Goes through a range in key order, page by page; the lock is free between two pages.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// Where the next page begins; None at the end.
    next: Option<Bytes>,
    /// Keys that the limit still allows.
    left: usize,
    /// Whether the limit cut the answer. Known at the end.
    pub more: bool,
}

impl Walk {
    /// Begins at the plan's key, for at most `limit` keys.
    pub fn new(plan: &Plan, limit: usize) -> Self {
        Self {
            next: Some(plan.request.key.clone()),
            left: limit,
            more: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The next keys: at most `keys_max` are looked at, those that the filters let through are in the page.
    pub fn items(&mut self, plan: &Plan, state: &State, at: i64, keys_max: usize) -> Items {
        let mut items = Items::default();
        let Some(start) = self.next.take() else {
            return items;
        };
        let mut looked_at = 0;
        state.index.visit(&start, plan.end(), at, |key, found| {
            if looked_at == keys_max {
                self.next = Some(Bytes::copy_from_slice(key));
                return ControlFlow::Break(());
            }
            looked_at += 1;
            if !plan.admits(&found) {
                return ControlFlow::Continue(());
            }
            if self.left == 0 {
                self.more = true;
                return ControlFlow::Break(());
            }
            self.left -= 1;
            items.push(if plan.index_only { key } else { b"" }, found);
            ControlFlow::Continue(())
        });
        items
    }
}
