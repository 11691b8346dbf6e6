use bytes::Bytes;

use super::*;
use crate::{Message, read};

const OURS: Capabilities<'static> = Capabilities {
    methods: &[Method::Invite, Method::Bye, Method::Prack],
    extensions: &["100rel", "timer"],
    bodies: &["application/sdp"],
};

fn request(method: &str, fields: &str, body: &str) -> Request {
    let text = format!(
        "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match read::datagram(&Bytes::from(text)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// The code of the refusal and the text of that field in its response.
fn refusal(request: &Request, name: &HeaderName) -> (u16, String) {
    let rejection = capabilities(request, &OURS).expect_err("refused");
    let response = rejection.response(request, "t");
    let values: Vec<String> = response.headers.elements(name).collect();
    (response.code(), values.join(", "))
}

#[test]
fn a_refused_method_is_told_which_are_served() {
    let allow = "INVITE, BYE, PRACK".to_owned();
    assert_eq!(refusal(&request("REGISTER", "", ""), &HeaderName::Allow), (405, allow.clone()));
    assert_eq!(refusal(&request("NEWMETHOD", "", ""), &HeaderName::Allow), (501, allow));
}

#[test]
fn every_unknown_extension_is_named() {
    let asked = request("INVITE", "Require: path, 100rel\r\nRequire: gruu, TIMER\r\n", "");
    assert_eq!(refusal(&asked, &HeaderName::Unsupported), (420, "path, gruu".to_owned()));
}

#[test]
fn a_body_that_is_not_understood_is_told_which_are_where_it_matters() {
    let isup = "Content-Type: application/isup\r\n";
    let accept = "application/sdp".to_owned();
    for method in ["INVITE", "PRACK"] {
        assert_eq!(refusal(&request(method, isup, "x"), &HeaderName::Accept), (415, accept.clone()));
    }
    assert_eq!(
        capabilities(&request("BYE", isup, "x"), &OURS),
        Ok(()),
        "a call ends whatever the BYE carries"
    );
    let optional = "Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n";
    assert_eq!(capabilities(&request("INVITE", optional, "x"), &OURS), Ok(()));
    let (code, identity) = refusal(
        &request("INVITE", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "x"),
        &HeaderName::from_token("Accept-Encoding"),
    );
    assert_eq!((code, identity.as_str()), (415, "identity"));
}

#[test]
fn an_answer_that_nobody_may_give_is_refused_with_a_warning() {
    let (code, warning) = refusal(&request("INVITE", "Accept: text/plain\r\n", ""), &HeaderName::Warning);
    assert_eq!(code, 406);
    assert!(warning.starts_with("399 "), "{warning}");
}
