//! A datagram: read, checked, every typed header asked for, answered and written; what was written
//! reads back as what it was.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trunkline_sip::headers::{self, MediaType, Reason, Replaces, SessionExpires, UserToUser};
use trunkline_sip::{HeaderName, Message, Request, check, read, reply};

fuzz_target!(|data: &[u8]| {
    let Ok(message) = read::datagram(&Bytes::copy_from_slice(data)) else { return };
    typed(&message);
    let written = message.to_bytes();
    match message {
        Message::Request(request) => answered(&request, &written),
        Message::Response(response) => {
            let Ok(Message::Response(again)) = read::datagram(&written) else {
                panic!("a response of ours does not read: {written:?}")
            };
            assert_eq!((again.code(), again.body), (response.code(), response.body));
        }
    }
});

fn answered(request: &Request, written: &Bytes) {
    let response = reply::to(request, 200, Some("tag"));
    assert!(matches!(read::datagram(&response.to_bytes()), Ok(Message::Response(_))));
    if check::request(request).is_err() {
        return;
    }
    let Ok(Message::Request(again)) = read::datagram(written) else {
        panic!("a good request does not read again: {written:?}")
    };
    assert!(check::request(&again).is_ok(), "a good request became bad: {written:?}");
    assert_eq!(
        (&again.method, &again.target, &again.body),
        (&request.method, &request.target, &request.body)
    );
}

fn typed(message: &Message) {
    let headers = message.headers();
    for name in
        [HeaderName::Route, HeaderName::RecordRoute, HeaderName::ReferTo, HeaderName::PAssertedIdentity]
    {
        for address in headers::addresses(headers, &name) {
            let _ = (address.uri.user(), address.uri.user_params(), address.uri.is_loose());
            let _ = address.uri.headers().count();
        }
    }
    let _ = (headers::max_forwards(headers), headers::diversions(headers), headers::history(headers));
    let _ = UserToUser::of(headers);
    let _ = (headers::asserted_identities(headers), headers::privacy(headers, "id"), MediaType::of(headers));
    for header in headers.iter() {
        let text = header.text();
        let _ = (
            Replaces::parse(&text),
            Reason::parse(&text),
            SessionExpires::parse(&text),
            headers::RAck::parse(&text),
        );
    }
    match message {
        Message::Request(request) => {
            let _ = (request.uri(), request.via(), request.from(), request.to(), request.cseq());
            let _ = (request.contact(), request.body_of("application/sdp"));
        }
        Message::Response(response) => {
            let _ =
                (response.via(), response.cseq(), response.contact(), response.body_of("application/sdp"));
        }
    }
}
