//! Calls and HTTP requests that JavaScript answers.

use napi::Result;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::check::{copy, number};
use crate::engine::NativeEngine;
use crate::options::{JsMetadata, metadata};

#[napi]
impl NativeEngine {
    /// Sends a message of a call; false: wait for `callDrained`.
    #[napi]
    pub fn call_send(&self, call: f64, message: Uint8Array) -> Result<bool> {
        let call = number("call", call)?;
        self.shared
            .front(|front| front.call_send(call, copy(&message)))
    }

    /// Ends a call.
    #[napi]
    pub fn call_end(
        &self,
        call: f64,
        code: u8,
        message: String,
        trailers: Vec<JsMetadata>,
    ) -> Result<()> {
        let (call, trailers) = (number("call", call)?, metadata(trailers));
        self.shared
            .front(|front| front.call_end(call, code, message, trailers))
    }

    /// A whole answer.
    #[napi]
    pub fn http_respond(
        &self,
        request: f64,
        status: u16,
        headers: Vec<(String, String)>,
        body: Uint8Array,
    ) -> Result<()> {
        let (request, body) = (number("request", request)?, copy(&body));
        self.shared
            .front(|front| front.http_respond(request, status, headers, body))
    }

    /// Begins a streamed answer.
    #[napi]
    pub fn http_start(
        &self,
        request: f64,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> Result<()> {
        let request = number("request", request)?;
        self.shared
            .front(|front| front.http_start(request, status, headers))
    }

    /// A part of a streamed answer; false: wait for `httpDrained`.
    #[napi]
    pub fn http_write(&self, request: f64, chunk: Uint8Array) -> Result<bool> {
        let request = number("request", request)?;
        self.shared
            .front(|front| front.http_write(request, copy(&chunk)))
    }

    /// Ends a streamed answer.
    #[napi]
    pub fn http_end(&self, request: f64) -> Result<()> {
        let request = number("request", request)?;
        self.shared.front(|front| front.http_end(request))
    }
}
