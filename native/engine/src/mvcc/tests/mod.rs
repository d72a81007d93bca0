//! Tests of the store: each rule alone, and random histories against a slow twin.

mod kit;
mod rules;
