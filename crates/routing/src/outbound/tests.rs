use super::*;
use crate::{Source, load};

const TABLE: &str = r#"
[[trunk]]
name = "in"
direction = "inbound"
allowed_addresses = ["192.0.2.0/24"]
[[trunk]]
name = "acme"
allowed_addresses = ["198.51.100.0/24"]
address = "sip.acme.example"
allowed_destinations = ["+1*", "+1900555*", "+44*"]
destination_country = "GB"
[[trunk]]
name = "listed"
allowed_addresses = ["203.0.113.0/24"]
address = "sip:10.0.0.1:5080;transport=tcp"
outbound_numbers = ["+14155550102"]
ringing_timeout_seconds = 12
short_codes = ["911", "311"]
[[agent]]
name = "in"
connect = "builtin:echo"
[[agent]]
name = "out"
connect = "builtin:tone"
[[agent]]
name = "text"
mode = "text"
connect = "ws://x"
protocol = "twilio"
[[number]]
number = "+14155550100"
inbound = "in"
outbound = "out"
[[number]]
number = "+14155550101"
trunk = "acme"
inbound = "in"
[[number]]
number = "+14155550102"
trunk = "listed"
[[number]]
number = "+14155550103"
inbound = "in"
active = false
"#;

fn ask(to: &str, from: &str, agent: Option<&str>, trunk: Option<&str>) -> Result<Route, OutboundRefusal> {
    let source = Source { name: "t.toml".to_owned(), text: TABLE.to_owned() };
    let (table, _) = load(&[source], None).expect("loads");
    decide_outbound(&table, &OutboundCall { to, from, agent, trunk })
}

fn refused(to: &str, from: &str, agent: Option<&str>, trunk: Option<&str>) -> String {
    ask(to, from, agent, trunk).expect_err("is refused").to_string()
}

#[test]
fn a_call_goes_out_by_the_numbers_trunk_with_its_outbound_agent() {
    let route = ask("+14155550199", "+14155550100", None, None).expect("goes out");
    assert_eq!((route.trunk.name.as_str(), route.agent.name.as_str()), ("acme", "out"));
    assert_eq!(
        (route.called.to_string().as_str(), route.caller.to_string().as_str()),
        ("+14155550199", "+14155550100")
    );
    // The slot falls back to the inbound one; a named agent wins.
    let route = ask("+44 20 7946 0000", "+14155550101", None, None).expect("goes out");
    assert_eq!((route.agent.name.as_str(), route.ringing_timeout.as_secs()), ("in", 30));
    let route = ask("+14155550199", "+14155550102", Some("out"), None).expect("goes out");
    assert_eq!((route.trunk.name.as_str(), route.ringing_timeout.as_secs()), ("listed", 12));
}

#[test]
fn refusals_say_why() {
    let ours = "+14155550100";
    for (told, wanted) in [
        (refused("4155550199", "+14155550102", Some("out"), None), "is no E.164 number"),
        (refused("0207 x", ours, None, None), "is no E.164 number"),
        (refused("02079", "+14155550101", None, None), "never dialled"),
        (refused("911", ours, None, None), "never dialled"),
        (refused("+911", ours, None, None), "never dialled"),
        (refused("+14155550199", "+14155559999", None, None), "no number of ours"),
        (refused("+14155550199", "sip:x", None, None), "no number of ours"),
        (refused("+14155550199", "+14155550103", None, None), "not active"),
        (refused("+14155550199", "+14155550102", None, None), "no outbound agent"),
        (refused("+14155550199", ours, Some("x"), None), "no agent of the tables"),
        (refused("+14155550199", ours, Some("text"), None), "text agent"),
        (refused("+14155550199", ours, None, Some("in")), "no trunk that calls go out by"),
        (refused("+14155550199", ours, None, Some("listed")), "no trunk takes calls out from"),
        (refused("+4930901820", ours, None, None), "not among allowed_destinations"),
    ] {
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn premium_ranges_are_denied_unless_they_are_named() {
    let ours = "+14155550100";
    assert!(refused("+19002345678", ours, None, None).contains("premium"));
    assert!(ask("+19005555678", ours, None, None).is_ok(), "its range is named");
    assert!(refused("+449061234567", ours, None, None).contains("premium"));
    // A trunk without a list takes every destination but these.
    assert!(ask("+4930901820", "+14155550102", Some("out"), None).is_ok());
    assert!(refused("+19002345678", "+14155550102", Some("out"), None).contains("premium"));
}

#[test]
fn a_national_number_is_read_as_the_trunks_country_writes_it() {
    let dialled = |to: &str| ask(to, "+14155550100", None, None).map(|route| route.called.to_string());
    assert_eq!(dialled("020 7946 0000").as_deref(), Ok("+442079460000"));
    assert_eq!(dialled("(020) 7946-0000").as_deref(), Ok("+442079460000"));
    assert_eq!(dialled("+442079460000").as_deref(), Ok("+442079460000"));
    // What the destinations say holds for the number that was meant.
    assert!(refused("0906 123 4567", "+14155550100", None, None).contains("premium"));
    assert!(refused("12345678901234567", "+14155550100", None, None).contains("no E.164 number"));
}

#[test]
fn an_emergency_number_goes_out_only_where_its_trunk_names_it() {
    let (ours, listed) = ("+14155550100", "+14155550102");
    let route = ask("911", listed, Some("out"), None).expect("goes out");
    assert_eq!((route.called.to_string().as_str(), route.trunk.name.as_str()), ("911", "listed"));
    assert!(refused("912", listed, Some("out"), None).contains("never dialled"));
    assert!(refused("+911", listed, Some("out"), None).contains("never dialled"));
    assert!(refused("911", ours, None, None).contains("never dialled"), "the other trunk does not");
    let text = TABLE.replace("\"911\", \"311\"", "\"+911\"");
    let problems = load(&[Source { name: "t.toml".to_owned(), text }], None).expect_err("no code");
    assert!(problems.iter().any(|problem| problem.message.contains("is no short code")), "{problems:?}");
}
