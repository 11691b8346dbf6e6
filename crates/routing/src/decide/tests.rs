use bytes::Bytes;
use trunkline_sip::{Message, read};

use super::*;
use crate::{Source, load};

const TABLE: &str = r#"
[[trunk]]
name = "wide"
allowed_addresses = ["192.0.2.0/24"]
allowed_numbers = ["+1415*"]
headers_to_attributes = { "X-Account" = "account" }
[[trunk]]
name = "close"
allowed_addresses = ["192.0.2.7"]
destination_country = "US"
ringing_timeout_seconds = 9
[[trunk]]
name = "named"
allowed_addresses = ["192.0.2.0/24"]
address = "acme.example.com"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
[[number]]
number = "+14155550101"
trunk = "wide"
inbound = "echo"
ringing_timeout_seconds = 5
[[number]]
number = "+14155550102"
inbound = "echo"
active = false
[[number]]
number = "+14155550103"
"#;

fn invite(target: &str, more: &str) -> Request {
    let text = format!("INVITE {target} SIP/2.0\r\nTo: <{target}>\r\n{more}\r\n");
    match read::datagram(&Bytes::from(text)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn ask(source: &str, target: &str, more: &str) -> (Decision, Steps) {
    let sources = [Source { name: "t.toml".to_owned(), text: TABLE.to_owned() }];
    let (table, _) = load(&sources, None).expect("loads");
    let request = invite(target, more);
    let call = InboundCall { source: source.parse().expect("address"), names: &[], request: &request };
    let mut steps = Some(Vec::new());
    (decide(&table, &call, &mut steps), steps.unwrap_or_default())
}

fn code(decision: &Decision) -> u16 {
    match decision {
        Decision::Refuse { code, .. } => *code,
        Decision::Route(_) => 200,
        Decision::NotInService { .. } => 480,
        Decision::Stranger => 0,
    }
}

const CALLER: &str = "From: <sip:+14155550199@x>;tag=1\r\n";

#[test]
fn numbers_are_found_in_every_spelling() {
    for target in [
        "sip:+14155550100@gw",
        "sip:14155550100@gw;user=phone",
        "sip:+1-415-555-0100;npdi@gw",
        "tel:+1-415-555-0100",
        "tel:555-0100;phone-context=+1415",
        "sip:4155550100@gw",
        "sip:%2B14155550100@gw",
    ] {
        let (decision, steps) = ask("192.0.2.7", target, CALLER);
        assert_eq!(code(&decision), 200, "{target} {steps:?}");
    }
}

#[test]
fn refusals_have_their_codes() {
    for (source, target, more, expected) in [
        ("203.0.113.1", "sip:+14155550100@gw", CALLER, 0),
        ("192.0.2.7", "sip:+14155550199@gw", CALLER, 404),
        ("192.0.2.7", "sip:911@gw", CALLER, 404),
        ("192.0.2.7", "sip:alice@gw", CALLER, 404),
        ("192.0.2.7", "sip:+14155550102@gw", CALLER, 486),
        ("192.0.2.7", "sip:+14155550103@gw", CALLER, 480),
        ("192.0.2.7", "sip:+14155550101@gw", "From: <sip:+16505550199@x>;tag=1\r\n", 403),
        ("192.0.2.7", "sip:+14155550101@gw", "From: <sip:anonymous@anonymous.invalid>;tag=1\r\n", 403),
    ] {
        assert_eq!(code(&ask(source, target, more).0), expected, "{source} {target} {more}");
    }
}

#[test]
fn the_trunk_is_the_numbers_then_the_hosts_then_the_closest() {
    let trunk = |source, target| match ask(source, target, CALLER).0 {
        Decision::Route(route) => (route.trunk.name.clone(), route.ringing_timeout.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(trunk("192.0.2.7", "sip:+14155550100@gw"), ("close".to_owned(), 9));
    assert_eq!(trunk("192.0.2.7", "sip:+14155550101@gw"), ("wide".to_owned(), 5));
    assert_eq!(trunk("192.0.2.7", "sip:+14155550100@acme.example.com"), ("named".to_owned(), 30));
    assert_eq!(trunk("192.0.2.9", "sip:+14155550100@gw"), ("wide".to_owned(), 30));
}

#[test]
fn the_caller_and_the_attributes_come_from_the_headers() {
    let more = "From: \"Bob\" <sip:200@pbx>;tag=1\r\nP-Asserted-Identity: <sip:+14155550177@x;verstat=TN-Validation-Passed>\r\nDiversion: <sip:+14155550166@x>;reason=no-answer\r\nX-Account: 42\r\n";
    let Decision::Route(route) = ask("192.0.2.9", "sip:+14155550101@gw", more).0 else { panic!("routes") };
    assert_eq!(route.caller.to_string(), "+14155550177");
    let attributes: Vec<_> = route.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(
        attributes,
        ["caller_name=Bob", "diversion=+14155550166", "verification=TN-Validation-Passed", "account=42"]
    );
    let hidden = ask("192.0.2.7", "sip:+14155550100@gw", &format!("{CALLER}Privacy: id\r\n")).0;
    assert!(matches!(hidden, Decision::Route(route) if route.caller == Caller::Anonymous));
}
