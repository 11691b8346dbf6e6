use super::*;
use crate::{OutboundCall, Source, decide_outbound, load};

const TABLE: &str = r#"
[[trunk]]
name = "t"
direction = "outbound"
address = "sbc.example.com"
allowed_destinations = ["+1*", "+44*"]
[[trunk]]
name = "tel"
direction = "outbound"
address = "tel.example.com"
refer = "tel"
[[trunk]]
name = "given"
direction = "outbound"
address = "given.example.com"
refer = "as-given"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
outbound = "echo"
trunk = "t"
allowed_destinations = ["+1415*", "+1900*", "+49*", "sip:*@sbc.example.com", "sip:*@pbx.example.org"]
[[number]]
number = "+14155550101"
outbound = "echo"
"#;

fn table() -> RouteTable {
    let (table, problems) =
        load(&[Source { name: "t".to_owned(), text: TABLE.to_owned() }], None).expect("loads");
    assert!(problems.is_empty(), "{problems:?}");
    table
}

fn route(table: &RouteTable, from: &str, trunk: &str) -> Route {
    let call = OutboundCall { to: "+14155550123", from, agent: None, trunk: Some("t") };
    let mut route = decide_outbound(table, &call).expect("goes out");
    route.trunk = table.trunks.iter().find(|known| known.name == trunk).cloned().expect("a trunk");
    route
}

#[test]
fn the_target_is_written_as_the_trunk_wants_it() {
    let table = table();
    for (trunk, to, refer_to) in [
        ("t", "+14155550199", "<sip:+14155550199@sbc.example.com>"),
        ("t", "tel:+1-415-555-0199", "<sip:+14155550199@sbc.example.com>"),
        ("tel", "+14155550199", "<tel:+14155550199>"),
        ("given", "tel:+1-415-555-0199", "<tel:+1-415-555-0199>"),
        ("given", "+1 415 555 0199", "<tel:+14155550199>"),
        ("t", "sip:anna@pbx.example.org;transport=tls", "<sip:anna@pbx.example.org;transport=tls>"),
    ] {
        let found = decide_transfer(&table, &route(&table, "+14155550100", trunk), "peer", to).expect(to);
        assert_eq!(found.refer_to, refer_to, "{trunk} {to}");
    }
}

#[test]
fn only_named_destinations_and_no_premium_or_emergency_ones() {
    let table = table();
    let ours = route(&table, "+14155550100", "t");
    let refused = |to: &str| decide_transfer(&table, &ours, "peer", to).expect_err(to);
    for to in ["+14165550199", "sip:+14165550199@sbc.example.com", "sip:anna@elsewhere.example"] {
        assert!(matches!(refused(to), TransferRefusal::NotAllowed { .. }), "{to}");
    }
    assert!(matches!(refused("+19005550199"), TransferRefusal::Outbound(OutboundRefusal::Premium { .. })));
    assert!(matches!(refused("+4930123456"), TransferRefusal::Outbound(OutboundRefusal::Denied { .. })));
    for to in [
        "911",
        "tel:911",
        "sip:anna@pbx.example.org?Replaces=x",
        "sip:anna@pbx.example.org;maddr=192.0.2.1",
        "sip:anna@pbx.example.org>,<sip:mallory@example.net",
        "sip:anna@pbx.example.org\r\nX-Evil: 1",
        "mailto:anna@pbx.example.org",
        "",
    ] {
        assert!(matches!(refused(to), TransferRefusal::BadTarget(_)), "{to}");
    }
    // A number that names none can be transferred nowhere.
    let silent = route(&table, "+14155550101", "t");
    let refusal = decide_transfer(&table, &silent, "peer", "+14155550199").expect_err("refused");
    assert!(matches!(refusal, TransferRefusal::NotAllowed { .. }));
}

#[test]
fn a_second_leg_goes_by_a_trunk_of_ours() {
    let table = table();
    let ours = route(&table, "+14155550100", "tel");
    let found = |to: &str| decide_transfer(&table, &ours, "peer", to).expect(to);
    let number = found("+14155550199").bridge.expect("a way");
    assert_eq!((number.trunk.name.as_str(), number.called.to_string().as_str()), ("t", "+14155550199"));
    assert_eq!(number.caller.to_string(), "+14155550100");
    let address = found("sip:desk-7@sbc.example.com").bridge.expect("a way");
    assert_eq!(address.called.to_string(), "sip:desk-7@sbc.example.com");
    let nowhere = found("sip:anna@pbx.example.org").bridge.expect_err("no trunk");
    assert!(matches!(nowhere, TransferRefusal::NoTrunk(_)));
}

#[test]
fn a_star_stands_for_any_run() {
    for (pattern, text, fits) in [
        ("*", "", true),
        ("desk-*", "desk-7", true),
        ("desk-*", "disk-7", false),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abcd", false),
        ("anna", "anna", true),
        ("anna", "annabel", false),
        ("*.example.com", "sbc.example.com", true),
        ("*.example.com", "example.com", false),
        ("a*a", "a", false),
    ] {
        assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
    }
}
