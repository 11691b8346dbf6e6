//! An agent's WebSocket once it is up: plain or TLS, non-blocking, polled by a media thread.

use std::io::{self, Read, Write};

use mio::event::Source;
use mio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// Largest message taken from an agent: a sentence of 20 s at 24 kHz in base64, as some send it whole.
const MAX_MESSAGE: usize = 2 * 1024 * 1024;
/// Most bytes that wait for a slow agent: 8 s of audio in JSON. Beyond it its frames are dropped.
const MAX_UNSENT: usize = 256 * 1024;

/// Messages of an idle socket that are thrown away at one look.
const IDLE_MESSAGES: usize = 64;

/// The byte stream under the socket.
enum Stream {
    Plain(TcpStream),
    ClientTls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

/// A WebSocket that is up.
pub struct Link {
    socket: WebSocket<Stream>,
    /// Messages dropped because the agent does not read.
    dropped: u64,
}

/// What reading a link gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(tungstenite::Utf8Bytes),
    /// A binary message.
    Binary(bytes::Bytes),
    /// Something that says nothing: a ping that was answered.
    Other,
    /// Nothing now.
    Nothing,
    /// The agent closed in order.
    Closed,
    /// The connection broke.
    Broken,
}

impl Received {
    /// Bytes of a message; none of anything else.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Other | Self::Nothing | Self::Closed | Self::Broken => 0,
        }
    }
}

impl Link {
    pub(crate) fn plain(stream: std::net::TcpStream, unread: Vec<u8>, role: Role) -> Self {
        Self::new(Stream::Plain(TcpStream::from_std(stream)), unread, role)
    }

    pub(crate) fn tls(
        stream: std::net::TcpStream,
        connection: rustls::ClientConnection,
        unread: Vec<u8>,
    ) -> Self {
        let stream = rustls::StreamOwned::new(connection, TcpStream::from_std(stream));
        Self::new(Stream::ClientTls(Box::new(stream)), unread, Role::Client)
    }

    fn new(stream: Stream, unread: Vec<u8>, role: Role) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_UNSENT)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let socket = WebSocket::from_partially_read(stream, unread, role, Some(config));
        Self { socket, dropped: 0 }
    }

    /// Sends a text message. Where the agent does not read, it is dropped and counted.
    pub fn send(&mut self, text: tungstenite::Utf8Bytes) -> bool {
        self.send_message(Message::Text(text))
    }

    /// Sends a binary message, likewise.
    pub fn send_binary(&mut self, bytes: bytes::Bytes) -> bool {
        self.send_message(Message::Binary(bytes))
    }

    fn send_message(&mut self, message: Message) -> bool {
        match self.socket.send(message) {
            Ok(()) => true,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(Error::WriteBufferFull(_)) => {
                self.dropped += 1;
                true
            }
            Err(_) => false,
        }
    }

    /// The next message.
    pub fn receive(&mut self) -> Received {
        match self.socket.read() {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes),
            Ok(Message::Close(why)) if why.as_ref().is_some_and(is_failure) => Received::Broken,
            Ok(Message::Close(_)) => Received::Closed,
            Ok(_) => Received::Other,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Received::Closed,
            Err(_) => Received::Broken,
        }
    }

    /// Whether an idle socket is still open. An agent has nothing to say before its call begins; if
    /// it says something, that is lost.
    pub fn is_open(&mut self) -> bool {
        for _ in 0..IDLE_MESSAGES {
            match self.receive() {
                Received::Nothing => return true,
                Received::Text(_) | Received::Binary(_) | Received::Other => {}
                Received::Closed | Received::Broken => return false,
            }
        }
        true
    }

    /// Pings an idle socket, so that one whose path is dead shows it; false where it has.
    pub fn ping(&mut self) -> bool {
        match self.socket.send(Message::Ping(bytes::Bytes::new())) {
            Ok(()) | Err(Error::WriteBufferFull(_)) => true,
            Err(Error::Io(error)) => error.kind() == io::ErrorKind::WouldBlock,
            Err(_) => false,
        }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        // What cannot be written now is tried again when the socket is writable.
        let _ = self.socket.flush();
    }

    /// Closes in order.
    pub fn close(&mut self) {
        let normal = CloseFrame { code: CloseCode::Normal, reason: tungstenite::Utf8Bytes::default() };
        let _ = self.socket.close(Some(normal));
        let _ = self.socket.flush();
    }

    /// Messages dropped because the agent does not read.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What to poll.
    pub fn source(&mut self) -> &mut dyn Source {
        match self.socket.get_mut() {
            Stream::Plain(stream) => stream,
            Stream::ClientTls(stream) => &mut stream.sock,
        }
    }
}

/// Whether a close frame tells of a failure and not of an end (RFC 6455 §7.4.1 and the registry): what
/// servers send of themselves when the agent's program raised an error or is being restarted.
fn is_failure(frame: &CloseFrame) -> bool {
    matches!(u16::from(frame.code), 1011..=1014)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            // Not through the stream's own read: that first waits until what we write has left, and an
            // agent that is busy speaking may not be reading.
            Self::ClientTls(stream) => loop {
                match stream.conn.reader().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
                if stream.conn.read_tls(&mut stream.sock)? == 0 {
                    return Ok(0);
                }
                stream.conn.process_new_packets().map_err(io::Error::other)?;
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            // rustls takes nothing once its own buffer is full and says so with 0, which would read
            // as a broken stream.
            Self::ClientTls(stream) => match stream.write(buffer) {
                Ok(0) if !buffer.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
                outcome => outcome,
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::ClientTls(stream) => stream.flush(),
        }
    }
}
