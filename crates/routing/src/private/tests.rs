use trunkline_sip::{HeaderName, Method, Request};

use super::*;
use crate::{Decision, InboundCall, OutboundCall, Source, called_number, decide, decide_outbound, load};

/// Everything in it that must not be read ends in 31337, or is a telephone number.
const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["192.0.2.0/24"]
allowed_numbers = ["+14155550199", "+1650*"]
address = "sip.example.com"
auth_username = "acme"
auth_password = "password31337"
outbound_numbers = ["+14155550100"]
headers = { "X-Token" = "header31337" }
[[agent]]
name = "bot"
connect = ["ws://user:userinfo31337@bot.example/ws?token=query31337", "wss://bot.example#part31337"]
protocol = "twilio"
secret = "shared31337"
[[number]]
number = "+14155550100"
inbound = "bot"
"#;

fn invite() -> Request {
    let target = "sip:+14155550100@gw".to_owned();
    let mut request = Request::new(Method::Invite, target.clone());
    request.headers.push(HeaderName::To, format!("<{target}>"));
    request.headers.push(HeaderName::From, "\"Name31337\" <sip:+14155550199@x>;tag=1");
    request.headers.push(HeaderName::Diversion, "<sip:+14155550166@x>");
    request
}

/// That nothing of it is left in a text, whatever printed it.
fn hides(what: &str, text: &str) {
    for secret in ["31337", "4155550100", "4155550199", "4155550166", "2079460000", "4155550"] {
        assert!(!text.contains(secret), "{what} prints {secret}: {text}");
    }
    assert!(text.contains('*') || text.contains(".."), "{what} says that it hides something: {text}");
}

#[test]
fn nothing_private_prints_in_any_value_of_routing() {
    let sources = [Source { name: "t.toml".to_owned(), text: TABLES.to_owned() }];
    let (table, problems) = load(&sources, None).expect("loads");
    assert_eq!(problems, []);
    hides("the table", &format!("{table:?}"));
    hides("the table, at length", &format!("{table:#?}"));
    let request = invite();
    let source = [192, 0, 2, 7].into();
    let call = InboundCall { source, names: &[], proved: None, request: &request };
    let decision = decide(&table, &call, &mut None);
    assert!(matches!(decision, Decision::Route(_)), "{decision:?}");
    hides("a decision", &format!("{decision:?}"));
    hides("the called number", &format!("{:?}", called_number(&request, None)));
    let out = OutboundCall { to: "+442079460000", from: "+14155550100", agent: None, trunk: None };
    hides("a call out", &format!("{out:?}"));
    hides("the route of a call out", &format!("{:?}", decide_outbound(&table, &out).expect("routed")));
    for (to, from) in [("4155550", "+14155550100"), ("+442079460000", "+14155550199")] {
        let refused = decide_outbound(&table, &OutboundCall { to, from, ..out }).expect_err("refused");
        hides("a refusal", &format!("{refused:?}"));
        assert!(refused.to_string().contains(if to == "4155550" { to } else { from }), "who asked is told");
    }
    let mut unknown = invite();
    unknown.target = "sip:+14155550166@gw".to_owned();
    let refused = decide(&table, &InboundCall { request: &unknown, ..call }, &mut None);
    assert!(matches!(refused, Decision::Refuse { code: 404, .. }), "{refused:?}");
    hides("a refusal of a call in", &format!("{refused:?}"));
}

#[test]
fn what_changed_tells_no_secret() {
    let table = |text: &str| {
        let sources = [Source { name: "t.toml".to_owned(), text: text.to_owned() }];
        load(&sources, None).expect("loads").0
    };
    let changes = table(TABLES).changes(&table(&TABLES.replace("31337", "31337b")));
    assert_eq!(
        changes.len(),
        3,
        "password, header and secret; the address is the same but for its tokens: {changes:?}"
    );
    assert!(changes.iter().all(|change| !change.contains("31337")), "{changes:?}");
}

#[test]
fn a_secret_is_itself_only_where_it_is_revealed() {
    let secret = Secret::new("31337".to_owned());
    assert_eq!((format!("{secret:?}").as_str(), secret.reveal().as_str()), ("***", "31337"));
    let number = Pii::new("+14155550100".to_owned());
    assert_eq!(format!("{number:?}"), "***");
    assert_eq!(number.in_log(false).to_string(), "**********00");
    assert_eq!(number.in_log(true).to_string(), "+14155550100");
}

#[test]
fn an_agents_address_prints_without_its_tokens() {
    for (url, printed) in [
        ("ws://bot.example/ws", "ws://bot.example/ws"),
        ("wss://u:p@bot.example:8443/a@b?token=1", "wss://bot.example:8443/a@b"),
        ("ws://[::1]:80#x", "ws://[::1]:80"),
        ("ws://u@bot.example?a/b", "ws://bot.example"),
    ] {
        assert_eq!(AgentUrl::new(url.to_owned()).to_string(), printed);
    }
}
