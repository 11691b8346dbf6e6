use super::*;

fn node(text: &str) -> Node {
    load_node("n.toml", text).unwrap_or_else(|error| panic!("{:?}", error.problems))
}

fn problems(text: &str) -> Vec<String> {
    let error = load_node("n.toml", text).expect_err("is refused");
    error.problems.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.message)).collect()
}

#[test]
fn an_empty_file_is_the_defaults() {
    let node = node("");
    let listeners: Vec<String> = node.sip.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listeners, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]);
    assert_eq!((node.sip.max_calls, node.sip.new_calls_per_second), (5000, 500));
    assert_eq!((node.media.ports, node.media.codecs), (10_000..=30_000, vec![Codec::Pcmu, Codec::Pcma]));
    assert_eq!((node.name.as_str(), node.data_dir.as_str()), ("trunkline", "data"));
    assert_eq!(node.api.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(node.routes.files[0].0, "routes/*.toml");
}

#[test]
fn a_listener_may_have_names_of_its_own() {
    let node = node(
        r#"
[sip]
listen = [
  "udp:10.0.0.4:5060",
  { address = "tls:10.0.0.4:5061", external_address = "203.0.113.9", external_host = "gw.example.com" },
]
[sip.tls]
certificate = "c.pem"
private_key = "k.pem"
"#,
    );
    assert_eq!((node.sip.listen[0].external_address, &node.sip.listen[0].external_host), (None, &None));
    assert_eq!(node.sip.listen[1].external_address, Some([203, 0, 113, 9].into()));
    assert_eq!(node.sip.listen[1].external_host.as_deref(), Some("gw.example.com"));
    assert_eq!(node.sip.tls.map(|tls| tls.place.line), Some(7));
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let found = problems(
        r#"[node]
nam = "x"
[sip]
listen = ["sctp:0.0.0.0:1", "tls:0.0.0.0:5061"]
external_address = "here"
unknown_peers = "hang"
max_calls = 0
t1_milliseconds = 5
[media]
ports = [1000, 2000]
codecs = ["G729"]
[api]
listen = "0.0.0.0:8080"
"#,
    );
    for wanted in [
        "2:1 unknown key \"nam\" (did you mean \"name\"?)",
        "4:11 \"sctp:0.0.0.0:1\" is no listener",
        "5:20 external_address is \"here\"; write an IP address",
        "6:17 unknown_peers is \"hang\"; write \"drop\" or \"reject\"",
        "7:13 max_calls must be a whole number from 1",
        "8:19 t1_milliseconds must be a whole number from 10",
        "10:9 ports must be [lowest, highest]",
        "11:11 \"G729\" is no codec",
        "12:1 the API would listen on 0.0.0.0:8080 for anyone",
        "3:1 a tls: listener needs [sip.tls]",
    ] {
        assert!(found.iter().any(|line| line.starts_with(wanted)), "{wanted}\nin {found:#?}");
    }
}

#[test]
fn what_could_never_take_a_call_is_refused() {
    assert!(problems("[sip]\nlisten = []")[0].contains("listen is empty"));
    assert!(problems("[media]\ncodecs = []")[0].contains("codecs is empty"));
    assert!(problems("[media]\nlisten_address = []")[0].contains("listen_address is empty"));
    for range in ["[10001, 10002]", "[10000, 10000]", "[65535, 65535]", "[20000, 10000]", "[10000]"] {
        assert!(problems(&format!("[media]\nports = {range}"))[0].contains("an even port"), "{range}");
    }
    assert_eq!(node("[media]\nports = [10001, 10003]").media.ports, 10_001..=10_003);
}

#[test]
fn a_node_with_mistakes_still_names_its_tables() {
    let text = "[sip]\nmax_calls = 0\n[routes]\nfiles = [\"a.toml\"]\ndefault_agent = \"x\"\n";
    let error = load_node("n.toml", text).expect_err("is refused");
    assert_eq!(error.routes.files[0].0, "a.toml");
    let agent = error.routes.default_agent.expect("named");
    assert_eq!((agent.0.as_str(), agent.1.line, agent.1.column), ("x", 5, 17));
}

#[test]
fn keys_of_the_api_are_their_hashes_and_what_they_allow() {
    let hash = "0123456789abcdef".repeat(4);
    let text = format!(
        "[api]\nlisten = \"0.0.0.0:80\"\n[[api.key]]\nname = \"a\"\nhash = \"{hash}\"\n[[api.key]]\nname = \"b\"\nhash = \"{}\"\nscope = \"admin\"\n",
        hash.to_uppercase(),
    );
    let keys = node(&text).api.keys;
    assert_eq!(
        (keys[0].scope, keys[1].scope),
        (ApiScope::Read, ApiScope::Admin),
        "the least where none is said"
    );
    assert_eq!((keys[0].hash[..3].to_vec(), keys[0].hash), (vec![0x01, 0x23, 0x45], keys[1].hash));
    assert!(ApiScope::Admin > ApiScope::Operate && ApiScope::Operate > ApiScope::Read);
    let wrong = format!("{}[[api.key]]\nname = \"a\"\nhash = \"+1{}\"\nscope = \"root\"\n", text, &hash[2..]);
    let found = problems(&(wrong + "[sip]\n")).join("\n");
    for told in ["there are two keys \"a\"", "hash is the SHA-256", "scope is \"root\"; write \"read\" or"] {
        assert!(found.contains(told), "{told} in {found}");
    }
    assert!(problems("[api]\ntoken = \"x\"")[0].contains("2:9 token is no longer a key"));
}

#[test]
fn changes_name_the_keys_and_never_a_hash() {
    let old = node(&"[sip]\nmax_calls = 10\n[[api.key]]\nname = \"one\"\nhash = \"HASH\"\n[[api.key]]\nname = \"two\"\nhash = \"HASH\"\n".replace("HASH", &"0f".repeat(32)));
    let new = node(
        &"[sip]\nmax_calls = 20\nlisten = \"udp:127.0.0.1:5070\"\n[media]\nports = [2000, 2101]\n[[api.key]]\nname = \"two\"\nhash = \"HASH\"\nscope = \"operate\"\n[[api.key]]\nname = \"three\"\nhash = \"HASH\"\n[routes]\ndefault_agent = \"a\"\n"
            .replace("HASH", &"0f".repeat(32)),
    );
    let changes = old.changes(&new);
    assert_eq!(
        changes,
        [
            "! sip.listen [udp:0.0.0.0:5060, tcp:0.0.0.0:5060] -> [udp:127.0.0.1:5070]: takes effect at the next start",
            "! sip.max_calls 10 -> 20: takes effect at the next start",
            "! media.ports [10000, 30000] -> [2000, 2101]: takes effect at the next start",
        ]
    );
    let keys = key_changes(&old.api.keys, &new.api.keys);
    assert_eq!(keys, ["- api key one", "~ api key two", "+ api key three"]);
    assert_eq!(old.changes(&old), Vec::<String>::new());
}

#[test]
fn sockets_that_are_wanted_twice_are_told_at_the_second_place() {
    for (text, told) in [
        (
            "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\",\n  \"udp:127.0.0.1:5060\"]",
            "3:3 udp:127.0.0.1:5060 and udp:127.0.0.1:5060 at n.toml:2 are one socket; keep one",
        ),
        (
            "[sip]\nlisten = [\"tcp:0.0.0.0:5060\", \"tls:192.0.2.1:5060\"]\n[sip.tls]\ncertificate = \"c\"\nprivate_key = \"k\"",
            "2:31 tls:192.0.2.1:5060 and tcp:0.0.0.0:5060 at n.toml:2 are one socket",
        ),
        (
            "[sip]\nlisten = \"tcp:0.0.0.0:8080\"\n[api]\nlisten = \"127.0.0.1:8080\"",
            "4:10 the API's 127.0.0.1:8080 and tcp:0.0.0.0:8080 at n.toml:2 are one socket; write another port",
        ),
        (
            "[sip]\nlisten = \"tcp:127.0.0.1:8080\"",
            "1:1 the API's 127.0.0.1:8080 and tcp:127.0.0.1:8080 at n.toml:2 are one socket",
        ),
        (
            "[sip]\nlisten = \"udp:192.0.2.1:15060\"",
            "1:1 udp:192.0.2.1:15060 at n.toml:2 lies in the media ports 10000 to 30000; write a range",
        ),
        (
            "[media]\nlisten_address = [\"::1\", \"192.0.2.1\"]\nports = [5000, 6000]",
            "3:9 udp:0.0.0.0:5060 at n.toml:1 lies in the media ports 5000 to 6000",
        ),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].starts_with(told), "{told}\nin {found:#?}");
    }
}

#[test]
fn sockets_that_only_look_alike_are_no_clash() {
    for text in [
        "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\", \"udp:127.0.0.2:5060\"]",
        "[sip]\nlisten = [\"udp:0.0.0.0:5060\", \"udp:[::]:5060\"]",
        "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\n[api]\nlisten = \"127.0.0.1:0\"",
        "[sip]\nlisten = \"udp:0.0.0.0:8080\"",
        "[sip]\nlisten = \"udp:192.0.2.1:15060\"\n[media]\nlisten_address = \"192.0.2.2\"",
        "[sip]\nlisten = \"tcp:192.0.2.1:15060\"",
    ] {
        node(text);
    }
}

#[test]
fn recordings_have_a_format_and_a_folder() {
    let read = |text: &str| load_node("trunkline.toml", text);
    let recording = read("").expect("fine").recording;
    assert_eq!((recording.format, recording.directory.as_str()), (RecordingFormat::Wav, "recordings"));
    let recording =
        read("[recording]\nformat = \"opus\"\ndirectory = \"/srv/calls\"\n").expect("fine").recording;
    assert_eq!((recording.format, recording.directory.as_str()), (RecordingFormat::Opus, "/srv/calls"));
    let problems =
        read("[recording]\nformat = \"mp3\"\ndirectory = \"\"\n").expect_err("two problems").problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
}
