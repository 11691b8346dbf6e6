use super::*;
use crate::{Host, Method};

fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut list = Headers::new();
    for (name, value) in fields {
        list.push(HeaderName::from_token(name), value.as_bytes().to_vec());
    }
    list
}

#[test]
fn via_takes_blanks_ipv6_and_unknown_transports() {
    let via = Via::parse(
        "SIP  / 2.0 /UDP [2001:db8::9:1]:5070 ; received=[2001:db8::9:255];branch=z9hG4bKas3;rport",
    )
    .expect("via");
    assert_eq!(via.sent_by.host, Host::IpAddr("2001:db8::9:1".parse().expect("address")));
    assert_eq!(via.received(), Some("2001:db8::9:255".parse().expect("address")));
    assert!(via.has_rfc3261_branch() && via.params.has("rport"));
    let odd = Via::parse("SIP/2.0/UNKNOWN t5.example.com;branch=z9hG4bK").expect("via");
    assert_eq!(odd.transport, "UNKNOWN");
    assert!(!odd.has_rfc3261_branch(), "the cookie alone names nothing");
    assert!(Via::parse("SIP/2.0/UDP ;;,;,,").is_none());
}

#[test]
fn the_source_goes_into_received_and_rport() {
    let mut via = Via::parse("SIP/2.0/UDP 10.0.0.1:5062;rport;branch=z9hG4bKa").expect("via");
    via.record_source("192.0.2.1:999".parse().expect("address"));
    assert_eq!(via.to_string(), "SIP/2.0/UDP 10.0.0.1:5062;rport=999;branch=z9hG4bKa;received=192.0.2.1");
    let mut plain = Via::parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa").expect("via");
    plain.record_source("192.0.2.1:5060".parse().expect("address"));
    assert_eq!(plain.to_string(), "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa");
}

#[test]
fn cseq_is_below_two_to_the_31() {
    assert_eq!(CSeq::parse(" 0009  INVITE"), Some(CSeq { number: 9, method: Method::Invite }));
    assert_eq!(CSeq::parse("0 ACK").map(|c| c.number), Some(0));
    assert_eq!(CSeq::parse("2147483648 INVITE"), None);
    assert_eq!(CSeq::parse("36893488147419103232 REGISTER"), None);
    assert_eq!(CSeq::parse("1 INVITE x"), None);
    assert_eq!(CSeq::parse("099999999999 INVITE"), None);
    assert_eq!(CSeq::parse("0x INVITE"), None);
    assert_eq!(CSeq::parse("-1 INVITE"), None);
}

#[test]
fn reliability_and_timers() {
    let rack = RAck::parse("776656 1 INVITE").expect("rack");
    assert_eq!((rack.rseq, rack.cseq.number), (776_656, 1));
    assert_eq!(parse_rseq("0"), None);
    let timer = SessionExpires::parse("1800 ; refresher=UAS").expect("timer");
    assert_eq!((timer.seconds, timer.refresher), (1800, Some(Refresher::Uas)));
    assert_eq!(parse_delta("1000000000000"), Some(u32::MAX));
    assert_eq!(parse_delta("-1"), None);
}

#[test]
fn replaces_round_trips() {
    let text = "98asjd8@test.com;to-tag=7743;from-tag=6472;early-only";
    assert_eq!(Replaces::parse(text).expect("replaces").to_string(), text);
    assert!(Replaces::parse("98asjd8@test.com;to-tag=7743").is_none());
}

#[test]
fn identity_diversion_history_reason_and_user_data() {
    let headers = headers(&[
        ("P-Asserted-Identity", "\"A\" <sip:+14155550111@x>, <tel:+14155550111>"),
        ("Privacy", "id;critical"),
        ("Diversion", "<sip:+14155550122@x>;reason=no-answer;counter=1, <sip:b@x>;reason=\"unconditional\""),
        ("History-Info", "<sip:a@x>;index=1, <sip:b@x;cause=302>;index=1.1"),
        ("Reason", "Q.850;cause=16;text=\"Terminated\""),
        ("Reason", "SIP;cause=487"),
        ("User-to-User", "56a390f3;encoding=hex"),
    ]);
    assert_eq!(asserted_identities(&headers).len(), 2);
    assert!(privacy(&headers, "ID") && !privacy(&headers, "none"));
    assert_eq!(diversions(&headers)[1].detail.as_deref(), Some("unconditional"));
    assert_eq!(history(&headers)[1].detail.as_deref(), Some("1.1"));
    let reasons = Reason::of(&headers);
    assert_eq!((reasons[0].cause, reasons[1].protocol.as_str()), (Some(16), "SIP"));
    assert_eq!(reasons[0].to_string(), "Q.850;cause=16;text=\"Terminated\"");
    assert_eq!(UserToUser::of(&headers)[0].encoding.as_deref(), Some("hex"));
}

#[test]
fn accept_names_what_may_be_answered() {
    assert!(MediaType::is_acceptable(&headers(&[]), "application/sdp"));
    assert!(MediaType::is_acceptable(
        &headers(&[("Accept", "text/x, application/*;q=0.1")]),
        "application/sdp"
    ));
    assert!(!MediaType::is_acceptable(&headers(&[("Accept", "text/nobodyKnowsThis")]), "application/sdp"));
}

#[test]
fn addresses_of_routes_and_referrals() {
    let headers = headers(&[
        ("Route", "<sip:a.example;lr>, \"B, C\" <sip:b.example:5070>"),
        ("Route", "<<broken>"),
        ("Record-Route", "<sips:[2001:db8::1];lr>"),
        ("r", "<sip:carol@example.com?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3>;method=INVITE"),
        ("Referred-By", "sip:dave@example.com;cid=x"),
    ]);
    let read = |name| addresses(&headers, &name).collect::<Vec<_>>();
    let routes = read(HeaderName::Route);
    assert_eq!(routes.len(), 2, "one that is no address is left out");
    assert!(routes[0].uri.is_loose() && !routes[1].uri.is_loose());
    assert_eq!(routes[1].uri.port(), Some(5070));
    assert_eq!(
        read(HeaderName::RecordRoute)[0].uri.host(),
        Some(&Host::IpAddr("2001:db8::1".parse().expect("address")))
    );
    let refer = &read(HeaderName::ReferTo)[0];
    assert_eq!(refer.uri.user().as_deref(), Some("carol"));
    assert_eq!(refer.uri.without_headers(), "sip:carol@example.com");
    assert_eq!(refer.params.value("method"), Some("INVITE"));
    assert_eq!(read(HeaderName::ReferredBy)[0].uri.user().as_deref(), Some("dave"));
}

#[test]
fn numbers_of_seconds_and_hops() {
    let fields = headers(&[("Expires", "3600;x=y"), ("Min-SE", " 120 "), ("Max-Forwards", "70")]);
    let delta = |name| fields.text(&name).and_then(|text| parse_delta(&text));
    assert_eq!((delta(HeaderName::Expires), delta(HeaderName::MinSe)), (Some(3600), Some(120)));
    assert_eq!(max_forwards(&fields), Some(70));
    for wrong in ["256", "-1", "", "7 0", "x"] {
        assert_eq!(max_forwards(&headers(&[("Max-Forwards", wrong)])), None, "{wrong:?}");
    }
    assert_eq!(max_forwards(&headers(&[])), None);
}

#[test]
fn allow_lists_methods_or_says_nothing() {
    assert_eq!(allowed_methods(&headers(&[])), None);
    assert_eq!(allowed_methods(&headers(&[("Allow", "")])), Some(Vec::new()));
    let two = headers(&[("Allow", "INVITE, UPDATE"), ("Allow", "NEW")]);
    assert_eq!(allowed_methods(&two), Some(vec![Method::Invite, Method::Update, Method::from_token("NEW")]));
}
