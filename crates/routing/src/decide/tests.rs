use bytes::Bytes;
use trunkline_sip::{Message, read};

use super::*;
use crate::{Source, asks_for_proof, load};

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
    let call =
        InboundCall { source: source.parse().expect("address"), names: &[], proved: None, request: &request };
    let mut steps = Some(Vec::new());
    (decide(&table, &call, &mut steps), steps.unwrap_or_default())
}

#[test]
fn emergency_numbers_are_never_routed_in_any_spelling() {
    for target in
        ["tel:112;phone-context=+4930", "tel:911;phone-context=+1-914-555-0", "sip:911@gw", "tel:112"]
    {
        let (decision, steps) = ask("192.0.2.7", target, CALLER);
        assert_eq!(code(&decision), 404, "{target}");
        assert!(steps.iter().any(|step| step.contains("never routed")), "{target} {steps:?}");
    }
}

#[test]
fn an_emergency_number_does_not_reach_the_number_that_to_holds() {
    for target in ["sip:+112@gw", "sip:+911@gw", "sip:+1911@gw", "sip:911@gw", "tel:+112"] {
        let (table, _) =
            load(&[Source { name: "t".to_owned(), text: TABLE.to_owned() }], None).expect("loads");
        let text = format!("INVITE {target} SIP/2.0\r\nTo: <sip:+14155550100@gw>\r\n{CALLER}\r\n");
        let request = match read::datagram(&Bytes::from(text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        };
        let call = InboundCall { source: [192, 0, 2, 7].into(), names: &[], proved: None, request: &request };
        let mut steps = Some(Vec::new());
        assert_eq!(code(&decide(&table, &call, &mut steps)), 404, "{target} {steps:?}");
        assert!(steps.iter().flatten().any(|step| step.contains("never routed")), "{target} {steps:?}");
    }
}

#[test]
fn the_called_number_is_that_of_to_where_the_request_uri_has_none() {
    let (table, _) = load(&[Source { name: "t".to_owned(), text: TABLE.to_owned() }], None).expect("loads");
    let text = format!("INVITE sip:gw@gw SIP/2.0\r\nTo: <sip:+14155550100@gw>\r\n{CALLER}\r\n");
    let request = match read::datagram(&Bytes::from(text)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    };
    let call = InboundCall { source: [192, 0, 2, 7].into(), names: &[], proved: None, request: &request };
    assert_eq!(route(decide(&table, &call, &mut None)).called.to_string(), "+14155550100");
}

#[test]
fn national_numbers_are_read_in_the_trunks_country_only() {
    // Without a country a local number is nobody's; with one it is read in its format.
    for (country, target, called) in [
        (None, "sip:5550100@gw", "5550100"),
        (None, "sip:4155550100@gw", "4155550100"),
        (None, "sip:14155550100@gw", "+14155550100"),
        (None, "sip:6581234567@gw", "+6581234567"),
        (Some("GB"), "sip:02079460123@gw", "+442079460123"),
        (Some("GB"), "tel:020-7946-0123", "+442079460123"),
        (Some("DE"), "sip:030123456@gw", "+4930123456"),
        (Some("DE"), "sip:004930123456@gw", "+4930123456"),
        (Some("FR"), "sip:0142685300@gw", "+33142685300"),
        (Some("FR"), "sip:01.42.68.53.00@gw;user=phone", "+33142685300"),
        (Some("FR"), "sip:+14155550100@gw", "+14155550100"),
        (Some("US"), "sip:4155550100@gw", "+14155550100"),
    ] {
        let read = match called_number(&invite(target, CALLER), country) {
            Called::Number(number) => number.to_string(),
            Called::Short(text) | Called::Other(text) => text,
        };
        assert_eq!(read, called, "{country:?} {target}");
    }
}

#[test]
fn the_trunk_is_one_that_reads_the_number_as_ours_was_read() {
    // The closer trunk would read the digits as a German number.
    let tables = TABLE
        .replace("destination_country = \"US\"", "destination_country = \"DE\"")
        .replace("headers_to_attributes", "destination_country = \"US\"\nheaders_to_attributes");
    assert_eq!(route(decided(&tables, None, "sip:4155550100@gw")).trunk.name, "wide");
}

#[test]
fn a_name_is_no_verification_nor_is_a_strangers_word() {
    let verified = |tables: &str, source: [u8; 4], more: &str| {
        let (table, _) =
            load(&[Source { name: "t".to_owned(), text: tables.to_owned() }], None).expect("loads");
        let request = invite("sip:+14155550100@gw", more);
        let call = InboundCall { source: source.into(), names: &[], proved: None, request: &request };
        let attributes = route(decide(&table, &call, &mut None)).attributes.into_inner();
        attributes.into_iter().find(|(name, _)| name == "verification").map(|(_, value)| value)
    };
    let passed = Some("TN-Validation-Passed".to_owned());
    for (from, told) in [
        ("<sip:+14155550199;verstat=TN-Validation-Passed@x;user=phone>;tag=1", &passed),
        ("<tel:+14155550199;verstat=TN-Validation-Passed>;tag=1", &passed),
        ("<sip:+14155550199@x;verstat=TN-Validation-Passed>;tag=1", &passed),
        ("\"verstat=TN-Validation-Passed\" <sip:+14155550199@x>;tag=1", &None),
    ] {
        let more = format!("From: {from}\r\n");
        assert_eq!(verified(TABLE, [192, 0, 2, 7], &more), *told, "{from}");
        let open = TABLE.replace("allowed_addresses = [\"192.0.2.7\"]", "");
        assert_eq!(verified(&open, [203, 0, 113, 1], &more), None, "{from} from anyone");
    }
}

#[test]
fn the_identity_is_shown_unless_the_caller_hides() {
    let more = format!("{CALLER}Identity: eyJ.abc.def;info=<https://x>\r\n");
    let shown = |more: &str| {
        let attributes = route(ask("192.0.2.7", "sip:+14155550100@gw", more).0).attributes.into_inner();
        attributes.into_iter().find(|(name, _)| name == "identity").map(|(_, value)| value)
    };
    assert_eq!(shown(&more).as_deref(), Some("eyJ.abc.def;info=<https://x>"));
    assert_eq!(shown(&format!("{more}Privacy: id\r\n")), None, "its payload names the caller");
}

#[test]
fn the_steps_say_why() {
    let steps = |source, target| ask(source, target, CALLER).1.join("\n");
    let told = steps("192.0.2.7", "sip:+14155550100@gw");
    for wanted in [
        "trunks that hold 192.0.2.7: wide (/24), close (/32), named (/24)",
        "by the number's trunk: undecided, it is bound to none",
        "by the Request-URI's host: undecided, gw is an address of none",
        "trunk close: no other names the source more closely\n",
        "agent echo: the number's inbound slot",
        "ringing_timeout is the trunk's, max_call_duration the default, hide_phone_number the default",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    let told = steps("192.0.2.7", "sip:+14155550101@gw");
    for wanted in [
        "trunk wide: the one that the number is bound to",
        "caller +14155550199 is among allowed_numbers of trunk wide",
        "ringing_timeout is the number's",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    let told = steps("192.0.2.9", "sip:+14155550100@acme.example.com");
    assert!(told.contains("trunk named: the Request-URI names its host"), "{told}");
    let told = steps("192.0.2.9", "sip:+14155550100@gw");
    assert!(told.contains("trunk wide: no other names the source more closely, and of those that do so alike it is the first in the files"), "{told}");
    let told = steps("192.0.2.7", "sip:4155550100@gw");
    assert!(told.contains("the called number is ours as these read it: close (/32)\n"), "{told}");
}

#[test]
fn a_refusal_names_its_trunk_where_there_is_one() {
    let trunk = |source, target| match ask(source, target, CALLER).0 {
        Decision::Refuse { trunk, .. } => trunk.map(|trunk| trunk.name.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(trunk("192.0.2.7", "sip:+14155550102@gw").as_deref(), Some("close"));
    assert_eq!(trunk("192.0.2.7", "sip:+14155550199@gw"), None, "three trunks hold it");
}

#[test]
fn an_open_trunk_asserts_nothing() {
    let text = TABLE.replace("allowed_addresses = [\"192.0.2.7\"]", "");
    let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
    let more = format!("{CALLER}P-Asserted-Identity: <sip:+14155550666@x>\r\n");
    let request = invite("sip:+14155550100@gw", &more);
    let caller = |source: [u8; 4]| match decide(
        &table,
        &InboundCall { source: source.into(), names: &[], proved: None, request: &request },
        &mut None,
    ) {
        Decision::Route(route) => route.caller.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(caller([203, 0, 113, 1]), "+14155550199", "anyone may write a header");
    assert_eq!(caller([192, 0, 2, 9]), "+14155550666", "the carrier's word");
}

#[test]
fn a_trunk_that_requires_a_certificate_takes_nobody_by_address() {
    let text = "[[trunk]]\nname = \"sbc\"\naddress = \"sbc.acme.example\"\nrequire_certificate = true\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n";
    let sources = [Source { name: "t.toml".to_owned(), text: text.to_owned() }];
    let (table, problems) = load(&sources, None).expect("loads");
    assert_eq!(problems, [], "an empty list of addresses is no hole here");
    let request = invite("sip:+14155550100@gw", CALLER);
    let source = IpAddr::from([192, 0, 2, 7]);
    let decided = |names: &[String]| {
        code(&decide(&table, &InboundCall { source, names, proved: None, request: &request }, &mut None))
    };
    assert_eq!(decided(&[]), 0);
    assert_eq!(decided(&["sbc.other.example".to_owned()]), 0);
    assert_eq!(decided(&["SBC.acme.example".to_owned()]), 200);
    assert!(!table.is_peer(source, &[]));
    let bare = text.replace("address = \"sbc.acme.example\"\n", "");
    load(&[Source { name: "t.toml".to_owned(), text: bare }], None).expect_err("no name to look for");
}

#[test]
fn a_trunk_that_challenges_holds_only_who_has_proved_it() {
    let text = TABLE
        .replace(
            "name = \"close\"",
            "name = \"close\"\nchallenge = true\nauth_username = \"u\"\nauth_password = \"p\"",
        )
        .replace("number = \"+14155550100\"", "number = \"+14155550100\"\ntrunk = \"close\"");
    let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
    let asked = |source: [u8; 4], number: &str, proved| {
        let request = invite(&format!("sip:{number}@gw"), CALLER);
        let call = InboundCall { source: source.into(), names: &[], proved, request: &request };
        (asks_for_proof(&table, &call).len(), code(&decide(&table, &call, &mut None)))
    };
    assert_eq!(asked([192, 0, 2, 7], "+14155550100", None), (1, 404), "its number is bound to that trunk");
    assert_eq!(asked([192, 0, 2, 7], "+14155550100", Some("close")), (0, 200));
    assert_eq!(asked([192, 0, 2, 7], "+14155550101", None), (0, 200), "another trunk holds it too");
    assert_eq!(asked([192, 0, 2, 9], "+14155550100", None), (0, 404), "the source is not of that trunk");
}

#[test]
fn a_trunk_that_registers_holds_who_comes_over_its_flow_and_nobody_else() {
    let text = "[[trunk]]\nname = \"pbx\"\naddress = \"pbx.example\"\nregister = true\nauth_username = \"u\"\nauth_password = \"p\"\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n";
    let (table, problems) =
        load(&[Source { name: "t".to_owned(), text: text.to_owned() }], None).expect("loads");
    assert_eq!(problems, [], "an empty list of addresses is no hole here");
    // The contact that a registrar calls is no number; the called one stands in To.
    let mut request = invite("sip:+14155550100@gw", CALLER);
    request.target = "sip:acme@192.0.2.1:5060".to_owned();
    let decided = |proved| {
        let call = InboundCall { source: [192, 0, 2, 7].into(), names: &[], proved, request: &request };
        code(&decide(&table, &call, &mut None))
    };
    assert_eq!((decided(None), decided(Some("pbx"))), (0, 200));
}

#[test]
fn an_open_trunk_that_challenges_knows_nobody_beforehand() {
    let open =
        "[[trunk]]\nname = \"phones\"\nchallenge = true\nauth_username = \"u\"\nauth_password = \"p\"\n";
    let (table, problems) =
        load(&[Source { name: "t".to_owned(), text: open.to_owned() }], None).expect("loads");
    assert_eq!(problems, []);
    let source = IpAddr::from([192, 0, 2, 7]);
    assert!(table.is_peer(source, &[]) && !table.is_known(source, &[]));
    for broken in ["challenge = true", "register = true\naddress = \"a\"", "options_interval_seconds = 30"] {
        let text = format!("[[trunk]]\nname = \"t\"\n{broken}\n");
        load(&[Source { name: "t".to_owned(), text }], None).expect_err(broken);
    }
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
    let attributes: Vec<_> = route.attributes.reveal().iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(
        attributes,
        ["caller_name=Bob", "diversion=+14155550166", "verification=TN-Validation-Passed", "account=42"]
    );
    let hidden = ask("192.0.2.7", "sip:+14155550100@gw", &format!("{CALLER}Privacy: id\r\n")).0;
    assert!(matches!(hidden, Decision::Route(route) if route.caller == Caller::Anonymous));
}

/// The decision on a call to a number, with changed tables.
fn decided(tables: &str, default_agent: Option<&str>, target: &str) -> Decision {
    let sources = [Source { name: "t.toml".to_owned(), text: tables.to_owned() }];
    let place = crate::Place { file: "n.toml".to_owned(), line: 1, column: 1 };
    let default_agent = default_agent.map(|name| (name.to_owned(), place));
    let (table, _) = load(&sources, default_agent.as_ref()).expect("loads");
    let request = invite(target, CALLER);
    let call = InboundCall { source: [192, 0, 2, 7].into(), names: &[], proved: None, request: &request };
    decide(&table, &call, &mut None)
}

fn route(decision: Decision) -> Route {
    match decision {
        Decision::Route(route) => *route,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_agent_answers_numbers_that_have_none() {
    let target = "sip:+14155550103@gw";
    assert!(matches!(decided(TABLE, None, target), Decision::NotInService { .. }));
    assert_eq!(route(decided(TABLE, Some("echo"), target)).agent.name, "echo");
    // Not for numbers that nobody gave us.
    assert_eq!(code(&decided(TABLE, Some("echo"), "sip:+14155550199@gw")), 404);
}

#[test]
fn a_header_is_itself_in_every_spelling_and_no_other_ones_look_alike() {
    let account = |more: &str| {
        let more = format!("{CALLER}{more}");
        let attributes = route(ask("192.0.2.9", "sip:+14155550101@gw", &more).0).attributes.into_inner();
        let values = attributes.into_iter().filter(|(name, _)| name == "account").map(|(_, value)| value);
        values.collect::<Vec<_>>()
    };
    for spelling in ["X-Account: 42", "x-account : 42", "X-ACCOUNT:42", "X-Account:\r\n 42"] {
        assert_eq!(account(&format!("{spelling}\r\n")), ["42"], "{spelling}");
    }
    assert_eq!(account("X-Account: 42\r\nx-account: 666\r\n"), ["42"], "one value, the first");
    for other in ["X_Account: 666", "X-Account-: 666", "XX-Account: 666", "Subject: a\r\n X-Account: 666"] {
        assert_eq!(account(&format!("{other}\r\n")), [""; 0], "{other}");
    }
    assert_eq!(account("X-Account: a\u{1b}[31mb\r\n"), ["a[31mb"], "nothing that moves a cursor");
}

#[test]
fn the_numbers_word_on_hiding_wins_over_the_trunks() {
    for (trunk, number, hidden) in [
        ("", "", false),
        ("hide_phone_number = true", "", true),
        ("hide_phone_number = true", "hide_phone_number = false", false),
        ("hide_phone_number = false", "hide_phone_number = true", true),
    ] {
        let tables = TABLE.replace("ringing_timeout_seconds = 9", trunk).replacen(
            "inbound = \"echo\"",
            &format!("inbound = \"echo\"\n{number}"),
            1,
        );
        let found = route(decided(&tables, None, "sip:+14155550100@gw"));
        assert_eq!(found.trunk.name, "close");
        assert_eq!(found.hide_phone_number, hidden, "{trunk} {number}");
    }
}

#[test]
fn media_may_go_to_special_addresses_only_where_the_trunk_names_them() {
    let named = "allowed_addresses = [\"192.0.2.7\"]\nmedia_addresses = [\"127.0.0.0/8\", \"198.51.100.10\"]";
    let tables = TABLE.replace("allowed_addresses = [\"192.0.2.7\"]", named);
    let with = route(decided(&tables, None, "sip:+14155550100@gw"));
    let without = route(decided(TABLE, None, "sip:+14155550100@gw"));
    // Address, whether it is ours, fine where it is named, fine where it is not.
    for (address, ours, named, unnamed) in [
        ([203, 0, 113, 1], false, true, true),
        ([127, 0, 0, 1], false, true, false),
        ([198, 51, 100, 10], true, true, false),
        ([169, 254, 1, 1], false, false, false),
        ([224, 0, 0, 1], false, false, false),
    ] {
        let plain = std::net::Ipv4Addr::from(address);
        for address in [plain.into(), plain.to_ipv6_mapped().into()] {
            assert_eq!(with.media_address_is_fine(address, ours), named, "{address:?}");
            assert_eq!(without.media_address_is_fine(address, ours), unnamed, "{address:?}");
        }
    }
}
