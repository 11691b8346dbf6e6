use super::*;

fn request(text: &str) -> Request {
    match datagram(&Bytes::copy_from_slice(text.as_bytes())) {
        Ok(Message::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

#[test]
fn folding_compact_forms_and_blanks_before_colons_are_read() {
    let request = request(
        "INVITE sip:a@b SIP/2.0\r\nTO :\r\n sip:a@b ;\r\n\ttag = 1\r\ni: x\r\nl: 3\r\nX-Odd:  y \r\n\r\nabcdef",
    );
    assert_eq!(request.headers.text(&HeaderName::To).as_deref(), Some("sip:a@b ; tag = 1"));
    assert_eq!(request.call_id().map(|v| &v[..]), Some(&b"x"[..]));
    assert_eq!(&request.body[..], b"abc");
    assert_eq!(request.headers.text(&HeaderName::from_token("x-odd")).as_deref(), Some("y"));
    assert_eq!(request.defect, None);
}

#[test]
fn bare_line_feeds_and_leading_line_ends_are_read() {
    let request = request("\r\n\r\nOPTIONS sip:a@b SIP/2.0\nCall-ID: 1\n\nbody");
    assert_eq!(&request.body[..], b"body");
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    let bytes =
        Bytes::from_static(b"OPTIONS sip:a@b SIP/2.0\r\nFrom: J\xf6rg <sip:j@b>;tag=1\r\n\r\n\xff\x00\xfe");
    let Ok(Message::Request(request)) = datagram(&bytes) else { panic!("reads") };
    assert_eq!(request.from().and_then(|f| f.tag().map(str::to_owned)).as_deref(), Some("1"));
    assert_eq!(&request.body[..], b"\xff\x00\xfe");
    assert!(request.headers.first(&HeaderName::From).is_some_and(|f| f.value().contains(&0xf6)));
}

#[test]
fn lengths_that_lie_are_a_defect() {
    for (length, defect) in [
        ("Content-Length: 9999", Some(Defect::ContentLength)),
        ("Content-Length: -999", Some(Defect::ContentLength)),
        ("Content-Length: 1\r\nContent-Length: 2", Some(Defect::ContentLength)),
        ("Content-Length: 4294967296", Some(Defect::ContentLength)),
        ("Content-Length: 2\r\nl: 2", None),
    ] {
        assert_eq!(request(&format!("BYE sip:a@b SIP/2.0\r\n{length}\r\n\r\nab")).defect, defect, "{length}");
    }
}

#[test]
fn request_lines_are_exact() {
    for (line, defect) in [
        ("INVITE sip:a@b SIP/2.0", None),
        ("INVITE  sip:a@b  SIP/2.0", Some(Defect::RequestLine)),
        ("INVITE <sip:a@b> SIP/2.0", Some(Defect::RequestLine)),
        ("INVITE sip:a@b; lr SIP/2.0", Some(Defect::RequestLine)),
        ("INVITE sip:a@b SIP/2.0  ", Some(Defect::RequestLine)),
        ("INVITE sip:a@b SIP/7.0", Some(Defect::Version)),
    ] {
        assert_eq!(request(&format!("{line}\r\n\r\n")).defect, defect, "{line}");
    }
}

#[test]
fn garbage_is_told_from_requests() {
    let read = |text: &'static [u8]| datagram(&Bytes::from_static(text)).err();
    assert_eq!(read(b"\r\n\r\n"), Some(Garbage::Empty));
    assert_eq!(read(b"\x00\x01\x02"), Some(Garbage::NotSip));
    assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Some(Garbage::NotSip));
    assert_eq!(read(b"SIP/2.0 4294967301 better not break\r\n\r\n"), Some(Garbage::NotSip));
    assert_eq!(
        read(b"SIP/2.0 200 OK\r\nno colon\r\n\r\n"),
        Some(Garbage::BrokenResponse(Defect::HeaderLine))
    );
}

#[test]
fn a_response_may_have_no_reason_or_an_odd_one() {
    for text in ["SIP/2.0 100 \r\n\r\n", "SIP/2.0 100\r\n\r\n", "SIP/2.0 200 = 2**3 * 5\r\n\r\n"] {
        assert!(matches!(datagram(&Bytes::from(text)), Ok(Message::Response(_))), "{text}");
    }
}

#[test]
fn bounds_hold() {
    let many = format!("INVITE sip:a@b SIP/2.0\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 5));
    assert_eq!(request(&many).defect, Some(Defect::TooManyHeaders));
    let long = format!("INVITE sip:a@b SIP/2.0\r\nX: {}\r\n\r\n", "y".repeat(MAX_HEADER_BYTES));
    assert_eq!(request(&long).defect, Some(Defect::HeaderTooLong));
    let huge = vec![b'a'; MAX_MESSAGE_BYTES + 1];
    assert_eq!(datagram(&huge.into()).err(), Some(Garbage::TooLong));
}

#[test]
fn no_cut_and_no_mutation_panics() {
    let whole = b"INVITE sip:a@[::1]:5060;lr?x=y SIP/2.0\r\nVia: SIP/2.0/UDP [::1];branch=z9hG4bKx\r\nTo: \"a\\\"\" <sip:b>;tag=1\r\n folded\r\nl: 4\r\n\r\nbody";
    for cut in 0..=whole.len() {
        let _ = datagram(&Bytes::copy_from_slice(&whole[..cut]));
        for byte in [0, b'\r', b'\n', b'"', b'<', 0xff] {
            let mut mutated = whole.to_vec();
            if let Some(place) = mutated.get_mut(cut) {
                *place = byte;
            }
            if let Ok(Message::Request(request)) = datagram(&mutated.into()) {
                let _ = (request.uri(), request.via(), request.to(), request.cseq(), request.contact());
            }
        }
    }
}

/// 64 KiB of what costs a careless reader most, with a start of a message before it.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let start = "INVITE sip:a@b SIP/2.0\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";
    let lines = |field: &str, filling: &str| {
        let line = format!("{field}: {}\r\n", filling.repeat(8000 / filling.len()));
        format!("{start}{}\r\n", line.repeat(8))
    };
    let parts = "--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n".repeat(1100);
    let multipart = format!("{start}Content-Type: multipart/mixed;boundary=b\r\n\r\n{parts}");
    vec![
        ("semicolons", lines("Via", "SIP/2.0/UDP h;;;;;;;;").into_bytes()),
        ("commas", lines("Contact", ",,,,").into_bytes()),
        ("quotes", lines("Contact", "\"\\\"").into_bytes()),
        ("brackets", lines("Record-Route", "<<").into_bytes()),
        ("folds", lines("Subject", "x\r\n ").into_bytes()),
        ("parameters", lines("From", ";a=b").into_bytes()),
        ("routes", lines("Route", "<sip:h;lr>,").into_bytes()),
        ("fields", format!("{start}{}\r\n", "X: y\r\n".repeat(10_000)).into_bytes()),
        (
            "256 fields",
            format!("{start}{}\r\n", format!("Require: {}\r\n", "a,".repeat(120)).repeat(250)).into_bytes(),
        ),
        ("nested multipart", multipart.into_bytes()),
        ("line ends", vec![b'\n'; 65_000]),
        ("zeros", vec![0; 65_000]),
    ]
}

/// The limit of issue 1 is 5 ms in a release build; a build without optimisation gets ten times as long,
/// and the machine's pauses do not count: the best of five.
#[test]
fn no_64_kib_take_longer_than_5_ms() {
    let limit = std::time::Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 });
    for (what, bytes) in hostile() {
        let mut bytes = bytes;
        bytes.truncate(crate::limits::MAX_MESSAGE_BYTES);
        let bytes = Bytes::from(bytes);
        #[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test measures")]
        let once = || {
            let start = std::time::Instant::now();
            if let Ok(message) = datagram(&bytes) {
                match &message {
                    Message::Request(request) => {
                        let _ = crate::check::request(request);
                        let _ = request.body_of("application/sdp");
                    }
                    Message::Response(response) => drop(crate::check::response(response)),
                }
            }
            start.elapsed()
        };
        let best = (0..5).map(|_| once()).min().unwrap_or_default();
        assert!(best < limit, "{what}: {best:?}");
    }
}
