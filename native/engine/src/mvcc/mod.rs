//! Multi-version concurrency control: the store of revisions and the rules of its requests.

pub mod validate;
