//! Opening a stream to a peer: connection, handshake, and writing as its window opens.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{PingPong, RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::address::{Address, Socket, connect_tcp, connect_unix, unsupported};
use super::limits;
use super::shared::Shared;
use super::wire;
use crate::tls::{Dialled, TlsError};

/// An open stream and the task that moves its connection's bytes.
pub struct Channel {
    /// To the peer.
    pub stream: SendStream<Bytes>,
    /// From the peer.
    pub answer: RecvStream,
    /// Asks the peer for a sign of life; may be taken.
    pub pings: Option<PingPong>,
    /// Moves the connection's bytes.
    pub connection: JoinHandle<Result<(), h2::Error>>,
    /// Of the peer's server.
    pub version: String,
}

impl Channel {
    /// Ends the stream; resolves when the peer has read all of it, or the connection is gone.
    pub async fn end(&mut self) {
        if self.stream.send_data(Bytes::new(), true).is_err() {
            return;
        }
        while let Some(Ok(_word)) = self.answer.data().await {}
    }

    /// The few words that the peer's answer consists of; empty if it is gone.
    pub async fn words(&mut self) -> String {
        match self.answer.data().await {
            Some(Ok(bytes)) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            Some(Err(_)) | None => String::new(),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Why there is no stream.
pub enum DialError {
    /// The peer could not be reached.
    Failed(String),
    /// Its machine says that nobody listens.
    NobodyListens(String),
    /// It refused, with this status and text.
    Refused(StatusCode, String),
}

/// Opens a stream to the member `to` at this URL and waits until it is accepted.
pub async fn open(shared: &Shared, to: u64, url: &str, path: &str) -> Result<Channel, DialError> {
    let failed = |error: &dyn std::fmt::Display| DialError::Failed(format!("{url}: {error}"));
    let Speaker {
        sender,
        pings,
        mut connection,
    } = reach(shared, url).await?;
    let identity = shared.identity();
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target(url, path).parse().map_err(|error| failed(&error))?;
    *request.headers_mut() = wire::request_headers(&identity, to);
    let (response, stream) = match ask(sender, request).await {
        Ok(accepted) => accepted,
        Err(error) => return Err(failed(&cause(error, &mut connection).await)),
    };
    let version = wire::version(response.headers());
    let status = response.status();
    let mut channel = Channel {
        stream,
        answer: response.into_body(),
        pings,
        connection,
        version,
    };
    if status == StatusCode::OK {
        return Ok(channel);
    }
    let text = channel.words().await;
    Err(match status {
        StatusCode::SERVICE_UNAVAILABLE => failed(&text),
        _ => DialError::Refused(status, text),
    })
}

async fn ask(
    sender: SendRequest<Bytes>,
    request: Request<()>,
) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
    let mut sender = sender.ready().await?;
    let (response, stream) = sender.send_request(request, false)?;
    Ok((response.await?, stream))
}

/// Why a request failed: where the connection has ended it knows more than the request does, for example what the peer
/// thinks of this member's certificate, which it says after the handshake.
async fn cause(error: h2::Error, connection: &mut JoinHandle<Result<(), h2::Error>>) -> String {
    if !error.is_io() {
        return error.to_string();
    }
    match connection.await {
        Ok(Ok(())) => "EOF".to_owned(),
        Ok(Err(ended)) => ended.to_string(),
        Err(_aborted) => error.to_string(),
    }
}

/// Gives all of `bytes` to the stream as its window opens; it may stay shut for `stall_max`.
pub async fn write(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    stall_max: Duration,
) -> Result<(), String> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = timeout(stall_max, poll_fn(|context| stream.poll_capacity(context))).await;
        let room = room.map_err(|_| format!("the peer took nothing for {stall_max:?}"))?;
        let room = room
            .ok_or("stream closed by peer")?
            .map_err(|error| error.to_string())?;
        let piece = bytes.split_to(room.min(bytes.len()));
        stream
            .send_data(piece, false)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the request names: a socket of this machine has no host that HTTP/2 knows.
fn target(url: &str, path: &str) -> String {
    match Address::parse(url).map(|address| address.socket) {
        Some(Socket::Unix(_)) => format!("http://localhost{path}"),
        Some(Socket::Tcp(_)) | None => format!("{}{path}", url.trim_end_matches('/')),
    }
}

/// A connection that speaks HTTP/2.
struct Speaker {
    sender: SendRequest<Bytes>,
    pings: Option<PingPong>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

async fn reach(shared: &Shared, url: &str) -> Result<Speaker, DialError> {
    let address = Address::parse(url);
    let address = address.ok_or_else(|| DialError::Failed(unsupported(url)))?;
    let lost = |error: std::io::Error| {
        let reason = format!("{url}: {error}");
        if address.socket.is_deserted(&error) {
            DialError::NobodyListens(reason)
        } else {
            DialError::Failed(reason)
        }
    };
    let spoken = match &address.socket {
        Socket::Tcp(authority) => {
            let io = connect_tcp(authority, shared.timeouts.write).await;
            greet(shared, &address, io.map_err(lost)?).await
        }
        Socket::Unix(path) => {
            let io = connect_unix(path).await;
            greet(shared, &address, io.map_err(lost)?).await
        }
    };
    spoken.map_err(|reason| DialError::Failed(format!("{url}: {reason}")))
}

/// Both handshakes, where the address asks for the one of TLS: with what is known at this moment, so that what was
/// replaced is not shown and not believed any more.
async fn greet<S>(shared: &Shared, address: &Address, io: S) -> Result<Speaker, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let spoken = match &address.tls_host {
        None => speak(io).await,
        Some(host) => {
            speak(
                encrypt(shared, host, io)
                    .await
                    .map_err(|TlsError(text)| text)?,
            )
            .await
        }
    };
    spoken.map_err(|error| error.to_string())
}

async fn encrypt<S>(shared: &Shared, host: &str, io: S) -> Result<Dialled<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    shared.client_tls()?.connect(host, io).await
}

async fn speak<S>(io: S) -> Result<Speaker, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, mut connection) = h2::client::Builder::new()
        .initial_window_size(limits::WINDOW_BYTES)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .max_frame_size(limits::HTTP2_FRAME_BYTES)
        .handshake::<_, Bytes>(io)
        .await?;
    let pings = connection.ping_pong();
    Ok(Speaker {
        sender,
        pings,
        connection: tokio::spawn(connection),
    })
}
