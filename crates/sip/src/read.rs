//! Bytes to message (RFC 3261 §7, §7.3.1, §18.3).
//!
//! Tolerant where carriers are careless (folding, compact forms, blanks before colons, bare line
//! feeds, bytes that are not UTF-8), exact where leniency would let a message be read in two ways.
//! A request that is wrong is still returned, with its [`Defect`], so that it can be answered.

use bytes::Bytes;

use crate::limits::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_MESSAGE_BYTES};
use crate::{HeaderName, Headers, Message, Method, Request, Response, StatusCode, text};

/// What is wrong with a message whose start line could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Request line other than `Method SP Request-URI SP SIP/2.0`.
    #[error("Malformed Request Line")]
    RequestLine,
    /// A SIP version that is not 2.0.
    #[error("Version Not Supported")]
    Version,
    /// A header line without a colon or with a name that is no token.
    #[error("Malformed Header Line")]
    HeaderLine,
    /// More than [`MAX_HEADERS`] fields.
    #[error("Too Many Header Fields")]
    TooManyHeaders,
    /// A field longer than [`MAX_HEADER_BYTES`].
    #[error("Header Field Too Long")]
    HeaderTooLong,
    /// Content-Length is no number, stands twice with two values, or promises more than came.
    #[error("Bad Content-Length")]
    ContentLength,
    /// The header section never ends.
    #[error("Missing Empty Line")]
    NoEmptyLine,
}

/// Bytes that are no SIP message and are answered by silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// Nothing, or only line ends (a keep-alive).
    #[error("empty")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("the first line is not SIP")]
    NotSip,
    /// A response that is broken; it cannot be answered.
    #[error("broken response: {0}")]
    BrokenResponse(Defect),
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("longer than a message may be")]
    TooLong,
}

/// Reads the message in one datagram. Bytes behind the body that Content-Length announces are
/// dropped (RFC 3261 §18.3); without it the body reaches to the end.
///
/// # Errors
/// Where there is nothing that could be answered; see [`Garbage`].
pub fn datagram(bytes: &Bytes) -> Result<Message, Garbage> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Garbage::TooLong);
    }
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(Garbage::Empty)?;
    let bytes = bytes.slice(start..);
    let (head, body) = match head_end(&bytes) {
        Some(end) => (bytes.slice(..end), Some(bytes.slice(end..))),
        None => (bytes.clone(), None),
    };
    let mut message = self::head(&head)?;
    let outcome = match body {
        None => Err(Defect::NoEmptyLine),
        Some(body) => content_length(message.headers()).and_then(|length| match length {
            None => Ok(body),
            Some(length) if length <= body.len() => Ok(body.slice(..length)),
            Some(_) => Err(Defect::ContentLength),
        }),
    };
    match (&mut message, outcome) {
        (Message::Request(request), Ok(body)) => request.body = body,
        (Message::Response(response), Ok(body)) => response.body = body,
        (Message::Request(request), Err(defect)) => request.defect = request.defect.or(Some(defect)),
        (Message::Response(_), Err(defect)) => return Err(Garbage::BrokenResponse(defect)),
    }
    Ok(message)
}

/// Where the header section ends: the position behind its empty line.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(feed) = bytes[at..].iter().position(|b| *b == b'\n') {
        let next = at + feed + 1;
        match bytes.get(next) {
            Some(b'\n') => return Some(next + 1),
            Some(b'\r') if bytes.get(next + 1) == Some(&b'\n') => return Some(next + 2),
            Some(_) => at = next,
            None => return None,
        }
    }
    None
}

/// Reads the start line and the header fields, leaving the body empty.
pub(crate) fn head(bytes: &Bytes) -> Result<Message, Garbage> {
    let mut lines = Lines { bytes, at: 0 };
    let first = lines.next_line().ok_or(Garbage::Empty)?;
    let first = String::from_utf8_lossy(first).into_owned();
    let (headers, defect) = read_headers(lines);
    if first.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        let response = status_line(&first).ok_or(Garbage::NotSip)?;
        return match defect {
            Some(defect) => Err(Garbage::BrokenResponse(defect)),
            None => Ok(Message::Response(Response { headers, ..response })),
        };
    }
    let request = request_line(&first).ok_or(Garbage::NotSip)?;
    let defect = request.defect.or(defect);
    Ok(Message::Request(Request { headers, defect, ..request }))
}

/// The one Content-Length of a message.
pub(crate) fn content_length(headers: &Headers) -> Result<Option<usize>, Defect> {
    let mut lengths = headers.all(&HeaderName::ContentLength).map(|header| {
        let text = header.text();
        text::number(text.trim()).and_then(|n| usize::try_from(n).ok()).ok_or(Defect::ContentLength)
    });
    let Some(first) = lengths.next().transpose()? else {
        return Ok(None);
    };
    match lengths.all(|other| other == Ok(first)) {
        true => Ok(Some(first)),
        false => Err(Defect::ContentLength),
    }
}

/// `SIP/2.0 200 OK`. Other versions and codes outside 100 to 699 are no response at all.
fn status_line(line: &str) -> Option<Response> {
    let rest = line.get(..8).filter(|v| v.eq_ignore_ascii_case("SIP/2.0 ")).and(line.get(8..))?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = (code.len() == 3).then(|| text::number(code)).flatten()?;
    let code = u16::try_from(code).ok().filter(|code| (100..700).contains(code))?;
    Some(Response {
        status: StatusCode::from(code),
        reason: reason.to_owned(),
        headers: Headers::new(),
        body: Bytes::new(),
    })
}

/// `INVITE sip:… SIP/2.0`. Anything that starts with a token and ends in a SIP version is taken for
/// a request, with a defect where the middle is not one URI between two single spaces.
fn request_line(line: &str) -> Option<Request> {
    let (method, rest) = line.split_once(' ')?;
    let trimmed = rest.trim_end();
    let (target, version) = trimmed.rsplit_once([' ', '\t'])?;
    let is_sip = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/"));
    if !text::is_token(method) || !is_sip {
        return None;
    }
    let mut request = Request::new(Method::from_token(method), target);
    let exact = trimmed.len() == rest.len()
        && !target.is_empty()
        && !target.bytes().any(|b| b <= b' ')
        && !target.starts_with('<');
    request.defect = match (exact, version.eq_ignore_ascii_case("SIP/2.0")) {
        (_, false) => Some(Defect::Version),
        (false, true) => Some(Defect::RequestLine),
        (true, true) => None,
    };
    Some(request)
}

/// Walks lines that end in CRLF or LF.
struct Lines<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end; `None` at the end or at the empty line.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        self.at += (end + 1).min(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        (!line.is_empty()).then_some(line)
    }

    /// Whether the next line continues the one before (RFC 3261 §7.3.1).
    fn folds(&self) -> bool {
        matches!(self.bytes.get(self.at), Some(b' ' | b'\t'))
    }
}

fn read_headers(mut lines: Lines<'_>) -> (Headers, Option<Defect>) {
    let mut headers = Headers::new();
    let mut defect = None;
    while let Some(line) = lines.next_line() {
        let field = if lines.folds() { unfold(line, &mut lines) } else { lines.bytes.slice_ref(line) };
        let problem = match read_field(&field) {
            _ if headers.len() == MAX_HEADERS => Defect::TooManyHeaders,
            _ if field.len() > MAX_HEADER_BYTES => Defect::HeaderTooLong,
            Some((name, value)) => {
                headers.push(name, value);
                continue;
            }
            None => Defect::HeaderLine,
        };
        defect = defect.or(Some(problem));
        if problem == Defect::TooManyHeaders {
            break;
        }
    }
    (headers, defect)
}

/// Joins a folded field with single spaces, reading no further than a field may be long.
fn unfold(first: &[u8], lines: &mut Lines<'_>) -> Bytes {
    let mut joined = first.trim_ascii_end().to_vec();
    while lines.folds() {
        let Some(line) = lines.next_line() else { break };
        if joined.len() <= MAX_HEADER_BYTES {
            joined.push(b' ');
            joined.extend_from_slice(line.trim_ascii());
        }
    }
    joined.into()
}

fn read_field(field: &Bytes) -> Option<(HeaderName, Bytes)> {
    let colon = field.iter().position(|b| *b == b':')?;
    let name = std::str::from_utf8(field[..colon].trim_ascii_end()).ok()?;
    let value = field[colon + 1..].trim_ascii();
    let clean = !value.contains(&b'\r');
    (text::is_token(name) && clean).then(|| (HeaderName::from_token(name), field.slice_ref(value)))
}

#[cfg(test)]
mod tests;
