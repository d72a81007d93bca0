//! One HTTP request while the control plane has it, and the response that it makes.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, request};

use super::head::{Head, HttpOutbound, header_map};
use crate::call::ActiveCall;
use crate::conn::ConnCtx;
use crate::events::{FrontEvent, LogLevel};
use crate::handover::Back;
use crate::outbound::Outbound;
use crate::shared::Shared;
use crate::worker::Worker;

/// One request while the control plane has it. Dropped before its answer is complete, the client is gone.
pub(crate) struct Exchange {
    id: u64,
    shared: Arc<Shared>,
    pub(crate) outbound: Arc<HttpOutbound>,
    complete: bool,
    _active: ActiveCall,
}

impl Exchange {
    /// Hands a request over, with why the read failed that it waited for. None if too many are open.
    pub(crate) fn start(
        worker: &Rc<Worker>,
        conn: &Rc<ConnCtx>,
        parts: &request::Parts,
        body: Bytes,
        failed_read: Option<String>,
    ) -> Option<Self> {
        let shared = worker.shared.clone();
        let outbound = Arc::new(Outbound::new());
        let id = shared.handovers.add(Back::Http(outbound.clone()))?;
        shared.events.emit(FrontEvent::Http {
            request: id,
            method: parts.method.as_str().to_owned(),
            url: parts
                .uri
                .path_and_query()
                .map_or("/", |url| url.as_str())
                .to_owned(),
            headers: header_list(parts),
            body,
            peer: conn.peer.clone(),
            listener: conn.listener.role.clone(),
            failed_read,
            common_name: conn.certified_name(),
        });
        Some(Self {
            id,
            shared,
            outbound,
            complete: false,
            _active: ActiveCall::new(&worker.calls, conn),
        })
    }

    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    pub(crate) fn drained(&self) {
        self.shared
            .events
            .emit(FrontEvent::HttpDrained { request: self.id });
    }

    /// The response that a head describes. What HTTP cannot carry becomes a 500 and a log line.
    pub(crate) fn response<B>(&self, head: &Head, body: B) -> Response<B> {
        let mut response = Response::new(body);
        match (StatusCode::from_u16(head.status), header_map(&head.headers)) {
            (Ok(status), Some(headers)) => {
                *response.status_mut() = status;
                *response.headers_mut() = headers;
            }
            _ => {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                self.shared.events.emit(FrontEvent::Log {
                    level: LogLevel::Error,
                    message: "an HTTP answer has a status or header that HTTP cannot carry"
                        .to_owned(),
                    fields: vec![("status".to_owned(), head.status.to_string().into())],
                });
            }
        }
        response
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.outbound.close();
        self.shared.handovers.remove(self.id);
        if !self.complete {
            self.shared
                .events
                .emit(FrontEvent::HttpClosed { request: self.id });
        }
    }
}

fn header_list(parts: &request::Parts) -> Vec<(String, String)> {
    let mut list = Vec::with_capacity(parts.headers.len() + 1);
    for (name, value) in &parts.headers {
        list.push((
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        ));
    }
    list
}
