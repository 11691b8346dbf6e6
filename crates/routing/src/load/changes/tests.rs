use crate::{Source, load};

const TABLES: &str = r#"
[[trunk]]
name = "twilio"
allowed_addresses = ["54.172.60.0/30"]
address = "acme.pstn.twilio.com"
auth_username = "acme"
auth_password = "first"
allowed_numbers = ["+1415*"]
[[trunk]]
name = "other"
allowed_addresses = ["192.0.2.7"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[agent]]
name = "bot"
connect = "ws://bot.example/?token=abc"
protocol = "twilio"
secret = "first"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

/// What these replacements change.
fn changes(replacements: &[(&str, &str)]) -> Vec<String> {
    let table = |text: &str| {
        load(&[Source { name: "t.toml".to_owned(), text: text.to_owned() }], None).expect("loads").0
    };
    let next = replacements.iter().fold(TABLES.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    });
    table(TABLES).changes(&table(&next))
}

#[test]
fn entries_that_come_and_go_are_named() {
    assert_eq!(changes(&[]), [""; 0]);
    assert_eq!(
        changes(&[("+14155550100", "+14155550101")]),
        ["+ number +14155550101", "- number +14155550100"]
    );
}

#[test]
fn each_key_is_told_with_its_old_and_its_new_value() {
    assert_eq!(
        changes(&[
            ("builtin:echo", "builtin:tone"),
            ("inbound = \"echo\"", "inbound = \"echo\"\nactive = false\nringing_timeout_seconds = 9"),
            ("54.172.60.0/30", "54.172.60.0/29"),
            ("+1415*", "*"),
        ]),
        [
            "~ trunk twilio: allowed_addresses [54.172.60.0/30] -> [54.172.60.0/29]",
            "~ trunk twilio: allowed_numbers [+1415*] -> [*]",
            "~ agent echo: connect builtin:echo -> builtin:tone",
            "~ number +14155550100: active true -> false",
            "~ number +14155550100: ringing_timeout_seconds none -> 9",
        ]
    );
}

#[test]
fn a_secret_that_was_rotated_is_told_but_not_shown() {
    assert_eq!(
        changes(&[("\"first\"", "\"second\"")]),
        ["~ trunk twilio: auth_password: another one", "~ agent bot: secret: another one"]
    );
    let told = changes(&[("bot.example", "bot2.example")]);
    assert_eq!(told, ["~ agent bot: connect [ws://bot.example/] -> [ws://bot2.example/]"]);
}

#[test]
fn what_is_put_into_every_invite_is_told_by_name_only() {
    let with = |value: &str| format!("auth_username = \"acme\"\nheaders = {{ X-Token = \"{value}\" }}");
    let told = changes(&[("auth_username = \"acme\"", &with("s3cret"))]);
    assert_eq!(told, ["~ trunk twilio: headers: others, [] -> [X-Token]"]);
}

#[test]
fn every_key_of_a_trunk_is_told_by_its_name() {
    for (line, told) in [
        ("challenge = true", "challenge false -> true"),
        ("register = true", "register false -> true"),
        ("register_expires_seconds = 60", "register_expires_seconds 300 -> 60"),
        ("options_interval_seconds = 30", "options_interval_seconds none -> 30"),
        ("short_codes = [\"911\"]", "short_codes [] -> [911]"),
        ("follow_redirects = true", "follow_redirects false -> true"),
        ("asserted_identity = true", "asserted_identity false -> true"),
        ("privacy = \"id\"", "privacy none -> id"),
        ("sdes_over_plaintext = true", "sdes_over_plaintext false -> true"),
        ("dtmf = \"info\"", "dtmf auto -> info"),
    ] {
        let with = format!("auth_username = \"acme\"\n{line}");
        assert_eq!(changes(&[("auth_username = \"acme\"", &with)]), [format!("~ trunk twilio: {told}")]);
    }
}

#[test]
fn another_order_of_the_trunks_is_told() {
    let (head, rest) = TABLES.split_once("[[trunk]]\nname = \"other\"").expect("two trunks");
    let (other, rest) = rest.split_once("[[agent]]").expect("agents");
    let next = format!("[[trunk]]\nname = \"other\"{other}{head}[[agent]]{rest}");
    let table =
        |text: &str| load(&[Source { name: "t".to_owned(), text: text.to_owned() }], None).expect("loads").0;
    assert_eq!(
        table(TABLES).changes(&table(&next)),
        [
            "~ order of the trunks [twilio, other] -> [other, twilio]: the first decides where nothing else does"
        ]
    );
}
