//! Responses built from their request (RFC 3261 §8.2.6).

use bytes::Bytes;

use crate::{Header, HeaderName, Headers, Request, Response, StatusCode};

/// A response with the fields that must be copied: every Via, From, To, Call-ID, CSeq. `to_tag` is
/// added to To where the request had none; Timestamp is echoed in a 100.
#[must_use]
pub fn to(request: &Request, code: u16, to_tag: Option<&str>) -> Response {
    let mut headers = Headers::new();
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        for header in request.headers.all(&name) {
            let value = match (&name, to_tag) {
                (HeaderName::To, Some(tag)) => with_tag(header, tag),
                _ => header.value().clone(),
            };
            headers.push(name.clone(), value);
        }
    }
    if let Some(stamp) = request.headers.first(&HeaderName::Timestamp).filter(|_| code == 100) {
        headers.push(HeaderName::Timestamp, stamp.value().clone());
    }
    Response { status: StatusCode::from(code), reason: String::new(), headers, body: Bytes::new() }
}

/// Copies Record-Route, as every response that makes a dialog must (RFC 3261 §12.1.1).
pub fn copy_record_route(request: &Request, response: &mut Response) {
    for header in request.headers.all(&HeaderName::RecordRoute) {
        response.headers.push(HeaderName::RecordRoute, header.value().clone());
    }
}

/// Adds a tag to a To value that has none.
fn with_tag(to: &Header, tag: &str) -> Bytes {
    if to.address().is_ok_and(|to| to.tag().is_some()) {
        return to.value().clone();
    }
    let mut with = Vec::with_capacity(to.value().len() + 5 + tag.len());
    with.extend_from_slice(to.value());
    with.extend_from_slice(b";tag=");
    with.extend_from_slice(tag.as_bytes());
    with.into()
}
