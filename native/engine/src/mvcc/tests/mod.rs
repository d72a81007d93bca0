//! Tests of the store: each rule alone, and random histories against a slow twin.

mod auth;
mod hashes;
mod histories;
mod install;
mod kit;
mod large;
mod nested;
mod pacing;
mod readers;
mod rules;
mod twin;
