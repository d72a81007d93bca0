//! Who calls: the token in a call's metadata, what the table of users and roles says of whoever is behind it, and the
//! question to the control plane where the token is not known here. With auth off none of it is looked at.

mod ask;
mod asker;
mod claim;
mod questions;
mod unproven;

pub(crate) use ask::{ask, wait};
pub(crate) use asker::Asker;
pub(crate) use claim::{Claim, Watcher};
pub(crate) use questions::{Asking, Identified, Questions};
pub(crate) use unproven::{Unproven, UnprovenBytes};
