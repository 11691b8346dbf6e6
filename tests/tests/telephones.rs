//! Two telephones that others wrote, with the gateway between them: one calls, the other is an agent on SIP or who is
//! called. Both have voices of their own and write down what they hear.

use serde_json::{Value, json};
use trunkline_tests::baresip::{Baresip, keys};
use trunkline_tests::certificates::Authority;
use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::{Daemon, Setup, http};

/// What who answers says, in hertz.
const ANSWERS: f64 = 1500.0;
/// What who calls says.
const CALLS: f64 = 1000.0;

fn tables(place: &str, more: &str) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[trunk]]
name = "vendor"
direction = "outbound"
address = "{place}"
media_addresses = ["127.0.0.1"]
{more}
[[agent]]
name = "bot"
connect = "{}"
[[agent]]
name = "tone"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "bot"
outbound = "tone"
"#,
        place.replace("sip:", "sip:tester@"),
    )
}

/// A gateway in front of who answers; `codecs` are those that it may use.
fn start(authority: &Authority, tables: &str, codecs: &str) -> Daemon {
    authority.sign("server", "IP:127.0.0.1");
    let tls = format!(
        "[sip.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\ncarrier_ca = \"{}\"\n",
        authority.path("server.pem"),
        authority.path("server.key"),
        authority.path("ca.pem"),
    );
    let setup = Setup::new(tables).listener(&format!("tls:127.0.0.1:{}", free_port())).sip(&tls);
    setup.media(&format!("codecs = [{codecs}]\n")).start()
}

/// A telephone that answers to a name, reached over UDP or, with SRTP, over TLS; and where.
fn answering(authority: &Authority, name: &str, codec: &str, secure: bool) -> (Baresip, String) {
    let folder = authority.path(codec);
    let folder = std::path::Path::new(&folder);
    if !secure {
        let phone = Baresip::answering(name, codec, ANSWERS, "", folder, "");
        let place = format!("sip:127.0.0.1:{};transport=udp", phone.sip);
        return (phone, place);
    }
    authority.sign("phone", "IP:127.0.0.1");
    let both: String = ["phone.key", "phone.pem"]
        .map(|file| std::fs::read_to_string(authority.path(file)).expect("signed"))
        .concat();
    std::fs::write(authority.path("phone.both"), both).expect("written");
    let more = format!(
        "sip_certificate\t{}\nsip_cafile\t{}\n",
        authority.path("phone.both"),
        authority.path("ca.pem"),
    );
    let phone = Baresip::answering(name, codec, ANSWERS, ";mediaenc=srtp-mand", folder, &more);
    let place = format!("sip:127.0.0.1:{};transport=tls", phone.sip + 1);
    (phone, place)
}

#[test]
fn a_telephone_and_an_agent_on_sip_hear_each_other_and_their_keys() {
    for (caller, agent, secure) in [("G722", "G722", false), ("opus", "opus", true), ("PCMU", "opus", true)] {
        let authority = Authority::new(&format!("phones-{caller}-{agent}"));
        let (callee, place) = answering(&authority, "tester", agent, secure);
        let policy = if secure { "media_encryption = \"require\"" } else { "" };
        let codecs = "\"opus\", \"G722\", \"PCMU\"";
        let mut daemon = start(&authority, &tables(&place, policy), codecs);
        let _callee = callee.start();
        let called = callee.begin(&["wait:CALL_ESTABLISHED", "@1.2", "sndcode 17", "@1", "wait:CALL_CLOSED"]);
        let phone = Baresip::speaking(caller, &daemon.folder, "");
        let _phone = phone.start();
        let target = format!("sip:+14155550100@127.0.0.1:{}", daemon.sip);
        let calling = phone.drive(&Baresip::call(&target, "42"));
        let called = called.events();
        phone.heard(ANSWERS);
        callee.heard(CALLS);
        assert_eq!((keys(&called), keys(&calling)), ("42".to_owned(), "17".to_owned()), "{caller} {agent}");
        let record = daemon.record();
        assert_eq!((&record["agent"], &record["ended_by"]), (&"bot".into(), &"caller".into()), "{record}");
    }
}

#[test]
fn a_telephone_that_is_called_hears_the_agent_and_the_keys_of_the_api() {
    for (codec, secure) in [("G722", false), ("opus", true)] {
        let authority = Authority::new(&format!("called-{codec}"));
        let (callee, place) = answering(&authority, "+14155550177", codec, secure);
        let policy = if secure { "media_encryption = \"require\"" } else { "" };
        let mut daemon = start(&authority, &tables(&place, policy), &format!("\"{codec}\", \"PCMU\""));
        let _callee = callee.start();
        let ask = |path: &str, body: Value| {
            let fields = "Content-Type: application/json\r\n";
            let (status, text) = http::request(daemon.api, "POST", path, fields, &body.to_string());
            assert_eq!(status, 202, "{path}: {text}");
            serde_json::from_str::<Value>(&text).unwrap_or_default()
        };
        let called = callee.begin(&["wait:CALL_ESTABLISHED", "@2", "hangup", "@0.2"]);
        let placed =
            ask("/v1/calls", json!({"to": "+14155550177", "from": "+14155550100", "trunk": "vendor"}));
        let id = placed["id"].as_str().expect("an id").to_owned();
        poll("the answer", || {
            let (_, body) = http::get(daemon.api, &format!("/v1/calls/{id}"));
            serde_json::from_str::<Value>(&body).ok().filter(|call| call["status"] == "active")
        });
        ask(&format!("/v1/calls/{id}/dtmf"), json!({"digits": "59#"}));
        let events = called.events();
        callee.heard(440.0);
        assert_eq!(keys(&events), "59#", "{codec}");
        let record = daemon.record();
        assert_eq!((&record["codec"], &record["ended_by"]), (&codec.into(), &"callee".into()), "{record}");
    }
}
