//! Users from JavaScript: tokens, and questions to the table that the data plane makes of the rows of "auth". The table
//! itself comes from the store alone.

use std::sync::Arc;

use bytes::Bytes;
use napi::Result;
use napi::bindgen_prelude::{BigInt, Either3, Null, Uint8Array};
use napi_derive::napi;
use netcd_engine::auth::{Access, Caller, TokenGrant};
use netcd_engine::error::EtcdError;

use crate::check::{lease_id, number, refused};
use crate::events::FoundStatus;
use crate::options::JsStatus;
use crate::shared::Shared;

/// `AuthUser`.
#[napi(object)]
pub struct AuthUser {
    /// His name.
    pub user: String,
    /// The auth revision that counts for him.
    pub revision: f64,
}

/// `Caller`.
pub type JsCaller = Either3<AuthUser, String, Null>;

/// Who asks, as JavaScript has it.
pub fn caller(caller: JsCaller) -> Result<Caller> {
    match caller {
        Either3::A(AuthUser { user, revision }) => Ok(Caller::User {
            name: user.into(),
            revision: number("caller.revision", revision)?,
        }),
        Either3::B(word) if word == "internal" => Ok(Caller::Internal),
        Either3::B(word) => Err(refused("caller", &format!("is no {word}"))),
        Either3::C(Null) => Ok(Caller::Nobody),
    }
}

fn access(write: bool) -> Access {
    if write { Access::Write } else { Access::Read }
}

fn refusal(checked: std::result::Result<(), EtcdError>) -> Option<FoundStatus> {
    checked.err().map(FoundStatus::from)
}

/// Users and tokens of an engine.
#[napi]
pub struct NativeAuth(pub(crate) Arc<Shared>);

#[napi]
impl NativeAuth {
    /// The identity behind a token, which is renewed by that; null: it is not known here.
    #[napi]
    pub fn identify(&self, token: String) -> Result<Option<AuthUser>> {
        let running = self.0.running()?;
        let auth = running.store.auth();
        let entry = auth.tokens().find(token.as_bytes());
        let entry = entry.filter(|entry| entry.use_now(running.store.now_ms()));
        // All that is registered came in here as a string.
        Ok(entry.map(|entry| AuthUser {
            user: String::from_utf8_lossy(&entry.user).into_owned(),
            revision: entry.revision.unwrap_or_else(|| auth.table().revision) as f64,
        }))
    }

    /// Registers a token.
    #[napi]
    pub fn register(
        &self,
        token: String,
        user: String,
        revision: napi::Either<f64, Null>,
        ttl_ms: napi::Either<f64, Null>,
        renewed: bool,
    ) -> Result<()> {
        let grant = TokenGrant {
            user: Bytes::from(user),
            revision: optional("revision", revision)?,
            ttl_ms: optional("ttlMs", ttl_ms)?,
            renewed,
        };
        self.0.enqueue(|running| {
            let now_ms = running.store.now_ms();
            let tokens = running.store.auth().tokens();
            tokens.insert(token.as_bytes(), grant, now_ms);
            Ok(())
        })
    }

    /// The tokens of a user are void, and so are his watches.
    #[napi]
    pub fn forget_user(&self, user: String) -> Result<()> {
        self.0.enqueue(|running| {
            running.watches.forget(Some(user.clone().into()));
            running.store.auth().tokens().forget_user(user.as_bytes());
            Ok(())
        })
    }

    /// All tokens are void.
    #[napi]
    pub fn forget_all(&self) -> Result<()> {
        self.0.enqueue(|running| {
            running.watches.forget(None);
            running.store.auth().tokens().clear();
            Ok(())
        })
    }

    /// The answer to `identify`.
    #[napi]
    pub fn identified(&self, ask: f64, error: napi::Either<JsStatus, Null>) -> Result<()> {
        let ask = number("ask", ask)?;
        let identified = match error {
            napi::Either::A(status) => Err(status.into()),
            napi::Either::B(Null) => Ok(()),
        };
        self.0.front(|front| front.identified(ask, identified))
    }

    /// Whether a caller may see, or change, a range now; null: he may.
    #[napi]
    pub fn check_range(
        &self,
        #[napi(ts_arg_type = "AuthUser | string | null")] caller: JsCaller,
        key: Uint8Array,
        range_end: Uint8Array,
        write: bool,
    ) -> Result<Option<FoundStatus>> {
        let caller = self::caller(caller)?;
        let running = self.0.running()?;
        Ok(refusal(running.store.auth().admit(|table| {
            match access(write) {
                Access::Read => table.check_read(&caller, &key, &range_end),
                Access::Write => table.check_write(&caller, &key, &range_end),
            }
        })))
    }

    /// The same for each key of a lease.
    #[napi]
    pub fn check_lease(
        &self,
        #[napi(ts_arg_type = "AuthUser | string | null")] caller: JsCaller,
        id: BigInt,
        write: bool,
    ) -> Result<Option<FoundStatus>> {
        let (caller, id) = (self::caller(caller)?, lease_id("id", &id)?);
        let running = self.0.running()?;
        Ok(refusal(running.store.auth().admit(|table| {
            table.check_known(&caller)?;
            let leases = running.store.leases();
            let (bounds, keys) = (leases.bounds(id), leases.keys_unordered(id));
            table.check_keys(&caller, bounds, keys, access(write))
        })))
    }

    /// Registered tokens.
    #[napi]
    pub fn tokens(&self) -> Result<f64> {
        Ok(self.0.running()?.store.auth().tokens().len() as f64)
    }
}

fn optional(name: &str, value: napi::Either<f64, Null>) -> Result<Option<u64>> {
    match value {
        napi::Either::A(value) => number(name, value).map(Some),
        napi::Either::B(Null) => Ok(None),
    }
}
