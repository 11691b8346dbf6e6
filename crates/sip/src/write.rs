//! Message to bytes (RFC 3261 §7). Bodies go out byte for byte; Content-Length is always ours. No
//! value can start a new header line: line ends inside one become spaces.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{HeaderName, Headers, Message, Request, Response, reason_phrase};

/// Room for a start line, the usual header fields and a small body.
const USUAL_BYTES: usize = 1024;

impl Request {
    /// The request as it goes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(USUAL_BYTES + self.body.len());
        put_clean(&mut out, self.method.as_str().as_bytes());
        out.put_u8(b' ');
        put_clean(&mut out, self.target.as_bytes());
        out.put_slice(b" SIP/2.0\r\n");
        finish(out, &self.headers, &self.body)
    }
}

impl Response {
    /// The response as it goes on the wire. An empty reason becomes the registered phrase.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(USUAL_BYTES + self.body.len());
        let code = self.code();
        let reason = if self.reason.is_empty() { reason_phrase(code) } else { &self.reason };
        out.put_slice(b"SIP/2.0 ");
        put_number(&mut out, usize::from(code));
        out.put_u8(b' ');
        put_clean(&mut out, reason.as_bytes());
        out.put_slice(b"\r\n");
        finish(out, &self.headers, &self.body)
    }
}

impl Message {
    /// The message as it goes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

fn finish(mut out: BytesMut, headers: &Headers, body: &[u8]) -> Bytes {
    for header in headers.iter().filter(|header| *header.name() != HeaderName::ContentLength) {
        put_clean(&mut out, header.name().as_str().as_bytes());
        out.put_slice(b": ");
        put_clean(&mut out, header.value());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"Content-Length: ");
    put_number(&mut out, body.len());
    out.put_slice(b"\r\n\r\n");
    out.put_slice(body);
    out.freeze()
}

/// Appends a number in decimal.
fn put_number(out: &mut BytesMut, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// Appends `value`; a byte that could end the line becomes a space.
fn put_clean(out: &mut BytesMut, value: &[u8]) {
    if !value.contains(&b'\r') && !value.contains(&b'\n') {
        return out.put_slice(value);
    }
    out.extend(value.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
}

#[cfg(test)]
mod tests;
