//! The lease calls that are served here: LeaseGrant and LeaseRevoke as operations of the log, LeaseKeepAlive as a
//! stream that the leader answers from its lease table.

mod ids;
mod keep_alive;
mod renewals;
mod unary;

pub(crate) use ids::LeaseIds;
pub(crate) use keep_alive::start as keep_alive;
pub(crate) use renewals::Renewals;
pub(crate) use unary::grant;
