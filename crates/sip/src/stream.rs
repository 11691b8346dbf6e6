//! Messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1 keep-alives): incremental, framed
//! by Content-Length, one bounded buffer a connection.

use bytes::{Bytes, BytesMut};

use crate::Message;
use crate::limits::MAX_MESSAGE_BYTES;
use crate::read::{self, Defect, Garbage};

/// What a stream yielded.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A message.
    Message(Box<Message>),
    /// A double CRLF, to be answered by a single one.
    Ping,
    /// The single CRLF that answers ours.
    Pong,
}

/// Why a stream can be read no further and must be closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Framing is lost, but there is a request to answer first (400 or 513).
    #[error("unusable framing: {}", .0.defect.map_or_else(String::new, |d| d.to_string()))]
    Answer(Box<crate::Request>),
    /// A message larger than [`MAX_MESSAGE_BYTES`], with its request to be answered 513.
    #[error("message too large")]
    TooLarge(Option<Box<crate::Request>>),
    /// Nothing that could be answered.
    #[error("not SIP: {0}")]
    Garbage(#[from] Garbage),
}

/// Cuts one connection's bytes into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// The head of the message that waits for its body, and the body's length.
    pending: Option<(Box<Message>, usize)>,
    /// How far the buffer was searched for the end of a head, so no byte is searched twice.
    searched: usize,
    /// A whole message came since [`Framer::took_message`] was asked.
    took: bool,
}

impl Framer {
    /// Takes what the socket gave.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended, so that its timer runs.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        // Only what may become a keep-alive has no timer: line ends without end are no sign of life.
        self.pending.is_some() || !b"\r\n\r\n".starts_with(&self.buffer)
    }

    /// Whether a whole message came since this was last asked: what is partial now began after it.
    pub fn took_message(&mut self) -> bool {
        std::mem::take(&mut self.took)
    }

    /// The next message or keep-alive, if whole.
    ///
    /// # Errors
    /// Where the stream must be closed; see [`FrameError`].
    pub fn next_frame(&mut self) -> Result<Option<Framed>, FrameError> {
        if self.pending.is_none() {
            if let Some(keep_alive) = self.keep_alive() {
                return Ok(Some(keep_alive));
            }
            if !self.read_head()? {
                return Ok(None);
            }
        }
        match self.pending.take() {
            Some((message, length)) if self.buffer.len() >= length => {
                self.took = true;
                let body = self.buffer.split_to(length).freeze();
                Ok(Some(Framed::Message(Box::new(with_body(*message, body)))))
            }
            waiting => {
                self.pending = waiting;
                Ok(None)
            }
        }
    }

    /// Line ends before a start line: four bytes are a ping, two followed by something else a pong.
    fn keep_alive(&mut self) -> Option<Framed> {
        if self.buffer.starts_with(b"\r\n\r\n") {
            let _ = self.buffer.split_to(4);
            return Some(Framed::Ping);
        }
        // Two bytes alone, and three that go on as a ping does, are kept until more comes.
        let single =
            self.buffer.starts_with(b"\r\n") && self.buffer.get(2).is_some_and(|next| *next != b'\r');
        if !single {
            return None;
        }
        let _ = self.buffer.split_to(2);
        Some(Framed::Pong)
    }

    /// Reads a head, if one is whole, into `pending`; false where more bytes are needed.
    fn read_head(&mut self) -> Result<bool, FrameError> {
        let from = self.searched.saturating_sub(3);
        let Some(end) = read::head_end(&self.buffer[from..]).map(|end| from + end) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_MESSAGE_BYTES {
                return Err(FrameError::TooLarge(None));
            }
            return Ok(false);
        };
        self.searched = 0;
        let head = self.buffer.split_to(end).freeze();
        let message = read::head(&head)?;
        let length = read::content_length(message.headers());
        match (message, length) {
            (Message::Request(mut request), Err(defect)) => {
                request.defect = request.defect.or(Some(defect));
                Err(FrameError::Answer(Box::new(request)))
            }
            (Message::Response(_), Err(defect)) => Err(Garbage::BrokenResponse(defect).into()),
            (Message::Request(mut request), Ok(None)) => {
                request.defect = request.defect.or(Some(Defect::ContentLength));
                Err(FrameError::Answer(Box::new(request)))
            }
            (Message::Response(_), Ok(None)) => Err(Garbage::BrokenResponse(Defect::ContentLength).into()),
            (message, Ok(Some(length))) if end + length > MAX_MESSAGE_BYTES => match message {
                Message::Request(request) => Err(FrameError::TooLarge(Some(Box::new(request)))),
                Message::Response(_) => Err(FrameError::TooLarge(None)),
            },
            (message, Ok(Some(length))) => {
                self.pending = Some((Box::new(message), length));
                Ok(true)
            }
        }
    }
}

fn with_body(mut message: Message, body: Bytes) -> Message {
    match &mut message {
        Message::Request(request) => request.body = body,
        Message::Response(response) => response.body = body,
    }
    message
}

#[cfg(test)]
mod tests;
