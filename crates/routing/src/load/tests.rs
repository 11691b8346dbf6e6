use super::*;
use crate::{Connect, E164, Protocol, RtpAddress, RtpFormat};

fn source(text: &str) -> Vec<Source> {
    vec![Source { name: "a.toml".to_owned(), text: text.to_owned() }]
}

/// `default_agent` as the node's file names it.
fn named(agent: &str) -> (String, Place) {
    (agent.to_owned(), Place { file: "trunkline.toml".to_owned(), line: 9, column: 3 })
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
    let (table, problems) = load(&source(GOOD), Some(&named("echo"))).expect("loads");
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
transport = "udp"

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
        "12:11 \"http://x\" is no agent address",
        "22:10 \"4155550100\" is no E.164 number",
        "26:11 \"texter\" is a text agent",
        "27:12 unknown agent \"txter\" (did you mean \"texter\"?)",
        "28:9 unknown trunk \"tt\" (did you mean \"t\"?)",
        "29:27 ringing_timeout_seconds must be a whole number from 1 to 300",
        "31:1 number \"+14155550100\" is already given at a.toml:24",
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
    let twins = warnings.iter().find(|p| p.message.contains("cannot be told apart")).expect("a warning");
    assert_eq!((twins.file.as_str(), twins.line), ("a.toml", 3), "at the second of the two");
}

#[test]
fn twins_are_seen_in_every_spelling() {
    for (one, two, twins) in [
        ("10.0.0.1/24", "10.0.0.0/24", true),
        ("10.0.0.1", "10.0.0.1/32", true),
        ("10.0.0.0/24", "10.0.0.0/25", false),
    ] {
        let trunk = |name, net, port| {
            format!(
                "[[trunk]]\nname = \"{name}\"\nallowed_addresses = [\"{net}\"]\naddress = \"sbc.x:{port}\"\n"
            )
        };
        let text = trunk("a", one, 5060) + &trunk("b", two, 5070);
        let (_, warnings) = load(&source(&text), None).expect("loads");
        assert_eq!(warnings.len(), usize::from(twins), "{one} {two} {warnings:?}");
    }
}

#[test]
fn twins_are_told_by_all_their_hosts_and_by_no_address_where_a_certificate_counts() {
    for (one, two, twins) in [
        ("addresses = [\"x.example\", \"y.example\"]", "addresses = [\"y.example\", \"x.example\"]", true),
        ("addresses = [\"x.example\"]", "addresses = [\"y.example\"]", false),
        ("addresses = [\"x.example\"]", "", true),
        ("address = \"x.example\"\nrequire_certificate = true", "address = \"x.example\"", false),
    ] {
        let trunk = |name, more| {
            format!("[[trunk]]\nname = \"{name}\"\nallowed_addresses = [\"10.0.0.0/24\"]\n{more}\n")
        };
        let text = trunk("a", one) + &trunk("b", two);
        let (_, warnings) = load(&source(&text), None).expect("loads");
        assert_eq!(warnings.len(), usize::from(twins), "{one} {two} {warnings:?}");
    }
}

#[test]
fn a_default_agent_that_is_none_is_told_where_it_is_named() {
    let problems = load(&source(GOOD), Some(&named("ecko"))).expect_err("is refused");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let wanted = "trunkline.toml:9:3: error: default_agent \"ecko\" is no agent of the tables (did you mean \"echo\"?)";
    assert_eq!(told, [wanted]);
}

#[test]
fn a_list_of_addresses_takes_nothing_but_sockets() {
    for list in ["[\"ws://x\", \"builtin:echo\"]", "[\"dial-in\", \"ws://x\"]"] {
        let text = format!("[[agent]]\nname = \"a\"\nconnect = {list}\nprotocol = \"twilio\"\n");
        let problems = load(&source(&text), None).expect_err("is refused");
        assert!(problems[0].message.contains("a list takes only"), "{problems:?}");
    }
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

#[test]
fn keys_travel_where_nobody_can_read_them() {
    use crate::MediaEncryption::{Allow, Disable, Require};
    use trunkline_sip::Transport::{Tcp, Tls, Udp};
    let trunk = |lines: &str| {
        let text = format!("[[trunk]]\nname = \"t\"\nallowed_addresses = [\"192.0.2.1\"]\n{lines}\n");
        load(&source(&text), None).map(|(table, problems)| (Arc::clone(&table.trunks[0]), problems.len()))
    };
    let over = |lines| {
        let (trunk, problems) = trunk(lines).expect(lines);
        ([Udp, Tcp, Tls].map(|transport| trunk.encryption_over(transport)), problems)
    };
    assert_eq!(over(""), ([Some(Disable); 3], 0));
    assert_eq!(over("media_encryption = \"allow\""), ([Some(Disable), Some(Disable), Some(Allow)], 0));
    assert_eq!(over("media_encryption = \"require\""), ([None, None, Some(Require)], 1), "with a warning");
    let plain = "media_encryption = \"require\"\nsdes_over_plaintext = true\ntransport = \"udp\"";
    assert_eq!(over(plain), ([Some(Require); 3], 0));
    assert_eq!(over("media_encryption = \"require\"\ntransport = \"tls\"").1, 0);
    for transport in ["udp", "tcp"] {
        let lines = format!("media_encryption = \"require\"\ntransport = \"{transport}\"");
        let problems = trunk(&lines).expect_err("keys in the clear");
        assert!(problems[0].message.contains("sdes_over_plaintext"), "{problems:?}");
    }
}

#[test]
fn an_agent_of_linear_audio_says_at_which_rate() {
    let load_agent = |lines: &str| {
        let text = format!("[[agent]]\nname = \"a\"\nconnect = \"ws://x\"\n{lines}\n");
        load(&source(&text), None).map(|(table, _)| table.agents["a"].protocol)
    };
    let l16 = |rate| Ok(Protocol::L16 { rate });
    let told = |lines: &str| load_agent(lines).map_err(|problems| problems[0].to_string());
    assert_eq!(told("protocol = \"l16\""), l16(8000));
    assert_eq!(told("protocol = \"l16\"\nsample_rate = 24000"), l16(24_000));
    for (lines, what) in [
        ("protocol = \"l16\"\nsample_rate = 11025", "8000, 16000 or 24000"),
        ("protocol = \"l16\"\nsample_rate = 48000", "sample_rate"),
        ("protocol = \"twilio\"\nsample_rate = 16000", "goes with protocol"),
        ("protocol = \"pcm\"", "\"l16\""),
        ("", "needs protocol"),
    ] {
        let problem = told(lines).expect_err(lines);
        assert!(problem.contains(what), "{lines}: {problem}");
    }
}

#[test]
fn names_that_clash_with_the_gateways_own_are_told() {
    let tables = |mapped: &str, metadata: &str| {
        let text = GOOD.replace("\"X-Account\" = \"account\"", mapped).replace("office = \"sf\"", metadata);
        match load(&source(&text), None) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        }
    };
    for (mapped, metadata, told) in [
        ("X-A = \"from_number\"", "", "5:33: error: headers_to_attributes: \"from_number\" is a name"),
        ("X-A = \"system__x\"", "", "5:33: error: headers_to_attributes: \"system__x\" is a name"),
        ("X-A = \"caller_name\"", "", "5:33: error: headers_to_attributes: \"caller_name\" is a name"),
        ("X-A = \"\"", "", "5:33: error: headers_to_attributes: \"\" is a name"),
        ("\"X A\" = \"a\"", "", "5:27: error: headers_to_attributes: \"X A\" is no header name"),
        (
            "X-A = \"a\", X-B = \"a\"",
            "",
            "5:44: error: headers_to_attributes: \"a\" is what X-A becomes already",
        ),
        (
            "",
            "to_number = \"1\"",
            "15:14: error: metadata: \"to_number\" is a name that the gateway gives itself",
        ),
        ("", "system__caller_id = \"1\"", "15:14: error: metadata: \"system__caller_id\" is a name"),
        ("", "identity = \"1\"", "15:14: error: metadata: \"identity\" is a name"),
        (
            "X-A = \"a\"",
            "a = \"1\"",
            "15:14: warning: metadata: \"a\" hides what the number's trunk takes from the header X-A",
        ),
    ] {
        let found: Vec<String> = tables(mapped, metadata).iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].starts_with(&format!("a.toml:{told}")), "{told}\nin {found:#?}");
    }
    assert_eq!(tables("X-A = \"a\", X-B = \"b\"", "c = \"1\", system = \"2\""), []);
}

#[test]
fn a_number_that_nobody_can_call_is_warned_of() {
    let text = GOOD.replace("name = \"twilio\"", "name = \"twilio\"\ndirection = \"outbound\"");
    let (_, warnings) = load(&source(&text), None).expect("loads");
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("a.toml:15:11: warning: the number's trunk \"twilio\" is outbound only"),
        "{told:?}"
    );
    let (_, warnings) =
        load(&source(&text.replace("inbound = \"echo\"", "outbound = \"echo\"")), None).expect("loads");
    assert_eq!(warnings, [], "it places calls only");
}

#[test]
fn an_agent_that_no_number_names_is_fine() {
    let text = format!("{GOOD}\n[[agent]]\nname = \"spare\"\nconnect = \"builtin:tone\"\n");
    let (table, problems) = load(&source(&text), None).expect("loads");
    assert_eq!((table.agents.len(), problems), (2, Vec::new()));
}

#[test]
fn an_agent_on_rtp_has_one_address_and_says_what_it_carries() {
    let load_agent = |lines: &str| {
        let text = format!("[[agent]]\nname = \"a\"\n{lines}\n");
        let loaded = load(&source(&text), None).map(|(table, _)| {
            let agent = &table.agents["a"];
            (agent.connect.clone(), agent.protocol)
        });
        loaded.map_err(|problems| problems[0].to_string())
    };
    let at = |host: &str, port| Connect::Rtp(RtpAddress { host: host.to_owned(), port });
    let rtp = "protocol = \"rtp\"\nconnect = ";
    assert_eq!(
        load_agent(&format!("{rtp}\"rtp://bot.example.com:4000\"")),
        Ok((at("bot.example.com", 4000), Protocol::Rtp(RtpFormat::Pcmu)))
    );
    assert_eq!(
        load_agent(&format!("{rtp}\"rtp://[2001:db8::1]:4000\"\ncodec = \"L16\"\nsample_rate = 16000")),
        Ok((at("2001:db8::1", 4000), Protocol::Rtp(RtpFormat::L16 { rate: 16_000 })))
    );
    for (lines, what) in [
        (format!("{rtp}\"rtp://host\""), "rtp://host:port"),
        (format!("{rtp}\"rtp://2001:db8::1:4000\""), "rtp://host:port"),
        (format!("{rtp}\"rtp://a b:4000\""), "rtp://host:port"),
        (format!("{rtp}\"rtp://host:0\""), "rtp://host:port"),
        (format!("{rtp}[\"rtp://a:1\", \"rtp://b:1\"]"), "a list takes only"),
        (format!("{rtp}\"ws://host\""), "speaks RTP"),
        (format!("{rtp}\"rtp://a:1\"\nevents = true"), "no events"),
        (format!("{rtp}\"rtp://a:1\"\nreconnect_seconds = 3"), "no connection"),
        (format!("{rtp}\"rtp://a:1\"\nsample_rate = 16000"), "goes with"),
        ("connect = \"rtp://a:1\"".to_owned(), "write protocol"),
        ("connect = \"ws://a\"\nprotocol = \"twilio\"\ncodec = \"PCMA\"".to_owned(), "codec goes with"),
    ] {
        let problem = load_agent(&lines).expect_err(&lines);
        assert!(problem.contains(what), "{lines}: {problem}");
    }
}

#[test]
fn an_agent_at_a_sip_address_is_called_over_the_trunk_of_its_host() {
    let load_agent = |lines: &str| {
        let text = format!("[[agent]]\nname = \"a\"\n{lines}\n");
        let trunk =
            "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"192.0.2.1\"]\naddress = \"sip.example.com\"\n";
        let sources = [("a.toml", text), ("b.toml", trunk.to_owned())];
        let sources = sources.map(|(name, text)| Source { name: name.to_owned(), text });
        let loaded = load(&sources, None).map(|(table, _)| table.agents["a"].connect.clone());
        loaded.map_err(|problems| problems[0].to_string())
    };
    match load_agent("connect = \"sip:bot@sip.example.com;transport=tls\"") {
        Ok(Connect::Sip(place)) => {
            assert_eq!(
                (place.address.as_str(), place.trunk.name.as_str()),
                ("sip:bot@sip.example.com;transport=tls", "t")
            );
        }
        other => panic!("{other:?}"),
    }
    for (lines, what) in [
        ("connect = \"sip:bot@other.example.com\"", "no trunk"),
        ("connect = \"sip:bot@sip.example.com?X=1\"", "no SIP address"),
        ("connect = \"sip:\"", "no SIP address"),
        ("connect = \"sip:bot@sip.example.com\"\nprotocol = \"twilio\"", "leave protocol out"),
        ("connect = \"sip:bot@sip.example.com\"\nevents = true", "no events"),
        ("connect = \"sip:bot@sip.example.com\"\nreconnect_seconds = 5", "no socket"),
    ] {
        let problem = load_agent(lines).expect_err(lines);
        assert!(problem.contains(what), "{lines}: {problem}");
    }
}

#[test]
fn of_two_trunks_to_one_host_an_agent_is_called_over_that_of_its_port() {
    let trunk = |name: &str, port: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\nallowed_addresses = [\"192.0.2.1\"]\naddress = \"192.0.2.1{port}\"\n"
        )
    };
    for (place, expected) in [("192.0.2.1:5070", "second"), ("192.0.2.1", "first"), ("192.0.2.1:9", "first")]
    {
        let agent = format!("[[agent]]\nname = \"a\"\nconnect = \"sip:bot@{place}\"\n");
        let text = trunk("first", "") + &trunk("second", ":5070") + &agent;
        let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
        let Connect::Sip(found) = &table.agents["a"].connect else { panic!("a SIP agent") };
        assert_eq!(found.trunk.name, expected, "{place}");
    }
}

#[test]
fn the_encrypted_profile_first_goes_with_encryption_that_is_allowed() {
    for (policy, fine) in [("allow", true), ("require", false), ("disable", false)] {
        let text = format!(
            "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"192.0.2.1\"]\ntransport = \"tls\"\nmedia_encryption = \"{policy}\"\nsavp_then_plain = true\n"
        );
        match load(&[Source { name: "t".to_owned(), text }], None) {
            Ok(_) => assert!(fine, "{policy}"),
            Err(problems) => {
                assert!(!fine && problems[0].message.contains("savp_then_plain"), "{problems:?}")
            }
        }
    }
}
