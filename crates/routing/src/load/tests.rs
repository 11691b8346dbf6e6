use super::*;
use crate::E164;

fn source(text: &str) -> Vec<Source> {
    vec![Source { name: "a.toml".to_owned(), text: text.to_owned() }]
}

const GOOD: &str = r#"
[[trunk]]
name = "twilio"
allowed_addresses = ["54.172.60.0/30", "192.0.2.7"]
headers_to_attributes = { "X-Account" = "account" }

[[agent]]
name = "echo"
connect = "builtin:echo"

[[number]]
number = "+14155550100"
trunk = "twilio"
inbound = "echo"
metadata = { office = "sf" }
"#;

#[test]
fn a_good_table_loads_without_a_word() {
    let (table, problems) = load(&source(GOOD), Some("echo")).expect("loads");
    assert_eq!(problems, []);
    let number = &table.numbers[&E164::parse("+14155550100").expect("number")];
    assert_eq!(number.outbound_agent().map(|a| a.name.as_str()), Some("echo"));
    assert_eq!(number.sms_agent().map(|a| a.name.as_str()), Some("echo"));
    assert!(table.default_agent.is_some());
}

#[test]
fn every_problem_is_reported_at_its_place_in_one_pass() {
    let text = r#"
[[trunk]]
name = "t"
alowed_addresses = ["1.2.3.4"]
allowed_addresses = ["300.1.1.1"]
media_encryption = "require"

[[agent]]
name = "bot"
mode = "text"
connect = "http://x"
protocol = "twilio"

[[agent]]
name = "texter"
mode = "text"
connect = "ws://x"
protocol = "twilio"

[[number]]
number = "4155550100"

[[number]]
number = "+14155550100"
inbound = "texter"
outbound = "txter"
trunk = "tt"
ringing_timeout_seconds = 301

[[number]]
number = "+14155550100"
"#;
    let problems = load(&source(text), None).expect_err("is refused");
    let found: Vec<String> =
        problems.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.message)).collect();
    for wanted in [
        "4:1 unknown key \"alowed_addresses\" (did you mean \"allowed_addresses\"?)",
        "5:22 \"300.1.1.1\" is no address",
        "2:1 trunk \"t\" requires SRTP",
        "11:11 \"http://x\" is no agent address",
        "21:10 \"4155550100\" is no E.164 number",
        "25:11 \"texter\" is a text agent",
        "26:12 unknown agent \"txter\" (did you mean \"texter\"?)",
        "27:9 unknown trunk \"tt\" (did you mean \"t\"?)",
        "28:27 ringing_timeout_seconds must be a whole number from 1 to 300",
        "30:1 number \"+14155550100\" is already given at a.toml:23",
    ] {
        assert!(found.iter().any(|line| line.starts_with(wanted)), "{wanted}\nin {found:#?}");
    }
}

#[test]
fn broken_toml_is_reported_and_the_rest_still_read() {
    let problems =
        load(&source("[[trunk]]\nname = \n\n[[number]]\nnumber = \"1\"\n"), None).expect_err("is refused");
    assert!(problems.iter().any(|p| p.line == 2), "{problems:?}");
    assert!(problems.iter().any(|p| p.message.contains("E.164")), "{problems:?}");
}

#[test]
fn open_and_twin_trunks_are_warned_of() {
    let text = "[[trunk]]\nname = \"a\"\n[[trunk]]\nname = \"b\"\n";
    let (_, warnings) = load(&source(text), None).expect("loads");
    assert_eq!(warnings.iter().filter(|p| p.message.contains("any address")).count(), 2);
    assert!(warnings.iter().any(|p| p.message.contains("cannot be told apart")));
}

#[test]
fn changes_are_listed() {
    let (old, _) = load(&source(GOOD), None).expect("loads");
    let (new, _) = load(
        &source(&GOOD.replace("echo\"\n\n[[number", "tone\"\n\n[[number").replace("0100", "0101")),
        None,
    )
    .expect("loads");
    assert_eq!(old.changes(&new), ["~ agent echo", "+ number +14155550101", "- number +14155550100"]);
}

#[test]
fn a_hundred_thousand_numbers_load() {
    use std::fmt::Write;
    let mut text = GOOD.to_owned();
    for n in 0..100_000 {
        let _ = write!(text, "[[number]]\nnumber = \"+1600{n:07}\"\ninbound = \"echo\"\n");
    }
    let (table, _) = load(&source(&text), None).expect("loads");
    assert_eq!(table.numbers.len(), 100_001);
}
