use super::*;
use crate::{Method, StatusCode, read};

#[test]
fn phrases_are_the_registered_ones_and_bodies_are_exact() {
    let mut response = Response {
        status: StatusCode::BusyHere,
        reason: String::new(),
        headers: Headers::new(),
        body: Bytes::from_static(b"\xff\x00\r\n"),
    };
    response.headers.push(HeaderName::ContentLength, "99");
    assert_eq!(&response.to_bytes()[..], b"SIP/2.0 486 Busy Here\r\nContent-Length: 4\r\n\r\n\xff\x00\r\n");
}

#[test]
fn no_value_starts_a_new_line() {
    let mut request = Request::new(Method::Invite, "sip:a@b\r\nX-Evil: 1");
    request.headers.push(HeaderName::Subject, "hello\r\nX-Evil: 2\r\n\r\nbody");
    request.headers.push(HeaderName::from_token("X-Name"), "\n\rX-Evil: 3");
    let bytes = request.to_bytes();
    let Ok(Message::Request(again)) = read::datagram(&bytes) else { panic!("reads") };
    assert_eq!(again.headers.len(), 3);
    assert!(!bytes.windows(7).any(|w| w == b"\nX-Evil"));
}
