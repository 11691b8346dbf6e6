//! Challenges of a caller's side to what we ask inside its call.

use trunkline_sdp::control::Fallback;
use trunkline_sip::{HeaderName, Request};

use super::outgoing::{challenge, field, methods};
use super::transfers::{TABLES, answer, fragments, hang_up, over, peer_refers, refer, results, talking_by};
use super::*;

fn tables(realm: &str) -> String {
    let account = format!("auth_username = \"acme\"\nauth_password = \"s3cret\"\n{realm}");
    TABLES.replace("address = \"192", &format!("{account}address = \"192"))
}

const REALM: &str = "auth_realm = \"carrier.example\"\n";

#[test]
fn what_a_callers_side_asks_of_our_refer_is_answered_once() {
    for (code, name) in [(401, HeaderName::Authorization), (407, HeaderName::ProxyAuthorization)] {
        let (mut bench, call, _) = talking_by(&tables(REALM));
        let first = refer(&mut bench, call, Fallback::None);
        assert!(field(&first, &name).is_empty());
        let said = bench.receive(&challenge(&first, code, "carrier.example", ""));
        assert_eq!(methods(&said), ["REFER"]);
        let again = &said.requests[0];
        assert_eq!(again.cseq().map(|cseq| cseq.number), Some(2));
        assert!(field(again, &name).contains("username=\"acme\""), "{}", field(again, &name));
        assert!(results(&said).is_empty(), "no refusal yet");
        // The same again: the password is wrong, and the agent is told.
        let said = bench.receive(&challenge(again, code, "carrier.example", ""));
        assert_eq!((methods(&said).len(), results(&said)[0].code), (0, Some(code)));
        // A BYE that follows is signed without being asked.
        let bye = bench.input(Input::HangUp(call)).requests.remove(0);
        assert!(field(&bye, &name).contains("nc=00000002"), "{}", field(&bye, &name));
        answer(&mut bench, &bye, 200);
        over(&mut bench, call);
    }
}

/// What comes of a challenge to the BYE of a call that came with those tables.
fn challenged_bye(tables: &str, contact: &str, realm: &str) -> Vec<Request> {
    let mut bench = Bench::new();
    let source = Source { name: "t".to_owned(), text: tables.to_owned() };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let text = invite("a", "+14155550100", "").replace("caller@192.0.2.20:5062", contact);
    let call = bench.receive(text.as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    bench.receive(&challenge(&bye, 401, realm, "")).requests
}

#[test]
fn a_caller_learns_nothing_of_the_password_for_another_realm_or_elsewhere() {
    let home = "caller@192.0.2.20:5062";
    assert_eq!(challenged_bye(&tables(REALM), home, "carrier.example").len(), 1);
    assert!(challenged_bye(&tables(REALM), home, "evil.example").is_empty());
    // Anybody's realm would do then.
    assert!(challenged_bye(&tables(""), home, "carrier.example").is_empty());
    // The caller has our requests go to another host than the one that it called from.
    assert!(challenged_bye(&tables(REALM), "caller@198.51.100.7:5060", "carrier.example").is_empty());
}

#[test]
fn a_notify_that_is_challenged_tells_once_more() {
    let (mut bench, call, tag) = talking_by(&tables(&format!("accept_refer = true\n{REALM}")));
    let said = peer_refers(&mut bench, 2, &tag, "");
    let notify = &said.requests[0];
    let said = bench.receive(&challenge(notify, 407, "carrier.example", ""));
    assert_eq!((methods(&said), fragments(&said)), (vec!["NOTIFY"], vec!["SIP/2.0 100 Trying".to_owned()]));
    let again = &said.requests[0];
    assert!(field(again, &HeaderName::ProxyAuthorization).contains("nc=00000001"));
    assert_eq!(field(again, &HeaderName::Event), field(notify, &HeaderName::Event));
    assert!(
        methods(&bench.receive(&challenge(again, 407, "carrier.example", ""))).is_empty(),
        "not for ever"
    );
    hang_up(&mut bench, call);
}
