//! Listening sockets: binding them, accepting on them, and spreading the connections over the workers.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::admission::Place;
use crate::completions::{Accepted, Arrival, Bound, Message};
use crate::config::{ListenerConfig, ListenerInfo};
use crate::connection;
use crate::events::{FrontEvent, LogLevel};
use crate::limits::{ACCEPT_RETRY, LISTEN_BACKLOG};
use crate::shared::Shared;
use crate::unix_socket::UnixSocket;
use crate::worker::Worker;

/// Binds what the configuration says; also returns the address that was bound.
pub(crate) fn bind(config: &ListenerConfig) -> io::Result<(Bound, String)> {
    if config.unix {
        bind_unix(Path::new(&config.address))
    } else {
        bind_tcp(&config.address)
    }
}

fn bind_tcp(address: &str) -> io::Result<(Bound, String)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for resolved in address.to_socket_addrs()? {
        match bind_address(resolved) {
            Ok(listener) => {
                let bound = listener.local_addr()?.to_string();
                return Ok((Bound::Tcp(listener), bound));
            }
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

fn bind_address(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<(Bound, String)> {
    let socket = UnixSocket::bind(path)?;
    Ok((Bound::Unix(socket), path.display().to_string()))
}

/// Takes over what came to a worker.
pub(crate) fn take_over(worker: &Rc<Worker>, arrival: Arrival, info: Arc<ListenerInfo>) {
    match arrival {
        Arrival::Connection(accepted, place) => connection::serve(worker, accepted, place, info),
        Arrival::Listener(bound) => accept_on(worker, bound, info),
    }
}

/// Accepts on a bound socket until the worker drains.
fn accept_on(worker: &Rc<Worker>, bound: Bound, info: Arc<ListenerInfo>) {
    let shared = worker.shared.clone();
    let served = info.clone();
    if worker.draining.get().includes(&served) {
        return;
    }
    let task = async move {
        let outcome = match bound {
            Bound::Tcp(listener) => accept_tcp(&shared, listener, &info).await,
            Bound::Unix(listener) => accept_unix(&shared, listener, &info).await,
        };
        if let Err(problem) = outcome {
            shared.log(LogLevel::Error, "a listener could not be served", &problem);
        }
    };
    let accepting = tokio::task::spawn_local(task);
    worker
        .accepting
        .borrow_mut()
        .push((accepting.abort_handle(), served));
}

async fn accept_tcp(
    shared: &Shared,
    listener: std::net::TcpListener,
    info: &Arc<ListenerInfo>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let place = place(shared, info).await;
        let accepted = match listener.accept().await {
            Ok((stream, peer)) => {
                prepare(&stream, shared.config.patience.write_stall).and_then(|()| {
                    let stream = stream.into_std()?;
                    Ok(Accepted::Tcp(stream, peer.to_string()))
                })
            }
            Err(problem) => Err(problem),
        };
        dispatch(shared, accepted, place, info).await;
    }
}

fn prepare(stream: &TcpStream, write_stall: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(write_stall))
}

async fn accept_unix(
    shared: &Shared,
    socket: UnixSocket,
    info: &Arc<ListenerInfo>,
) -> io::Result<()> {
    // The file goes when accepting ends, before the worker has ended the connections.
    let (listener, _file) = socket.into_parts();
    let listener = UnixListener::from_std(listener)?;
    loop {
        let place = place(shared, info).await;
        let accepted = match listener.accept().await {
            Ok((stream, _)) => stream.into_std().map(Accepted::Unix),
            Err(problem) => Err(problem),
        };
        dispatch(shared, accepted, place, info).await;
    }
}

/// Waits for the place of the next connection.
async fn place(shared: &Shared, info: &ListenerInfo) -> Place {
    let full = || {
        shared.events.emit(FrontEvent::Log {
            level: LogLevel::Warn,
            message: "all connections that there are descriptors for are taken; new ones wait"
                .to_owned(),
            fields: vec![
                ("listener".to_owned(), info.role.clone().into()),
                (
                    "connections".to_owned(),
                    shared.connection_count().to_string().into(),
                ),
            ],
        });
    };
    shared.admission.place(&info.role, full).await
}

/// Gives a connection to the worker that has the fewest.
async fn dispatch(
    shared: &Shared,
    accepted: io::Result<Accepted>,
    place: Place,
    info: &Arc<ListenerInfo>,
) {
    match accepted {
        Ok(accepted) => {
            let least = shared
                .connections
                .iter()
                .enumerate()
                .min_by_key(|(_, count)| count.load(Ordering::Relaxed));
            let index = least.map_or(0, |(index, _)| index);
            shared.connection_began(index, info);
            let arrival = Arrival::Connection(accepted, place);
            shared.mailboxes[index].push(Message::Serve(arrival, info.clone()));
        }
        // The client may have gone before it was accepted; a pause is for when descriptors run out.
        Err(problem) if problem.kind() == io::ErrorKind::ConnectionAborted => {}
        Err(problem) => {
            if shared.accept_failed.is_due() {
                shared.log(LogLevel::Warn, "failed to accept a connection", &problem);
            }
            drop(place);
            tokio::time::sleep(ACCEPT_RETRY).await;
        }
    }
}
