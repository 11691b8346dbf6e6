//! Trunks that register and are asked for their health, and callers that are challenged, on the
//! virtual clock.

use std::sync::atomic::{AtomicU32, Ordering};

use trunkline_routing::{OutboundCall, Pii, decide_outbound};
use trunkline_sip::digest::{Asked, Challenge, Credentials};
use trunkline_sip::{HeaderName, Method, Request, reply};

use super::*;
use crate::{
    Challenger, NonceBook, PlaceCall, RegistrationState, Timestamp, TrunkCharge, TrunkState, TrunkTask,
};

const TABLES: &str = r#"
[[trunk]]
name = "pbx"
register = true
register_expires_seconds = 300
addresses = [ { address = "192.0.2.20:5062", priority = 10 }, { address = "192.0.2.30", priority = 20 } ]
auth_username = "acme"
auth_password = "s3cret"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

fn table(text: &str) -> Arc<RouteTable> {
    let source = Source { name: "t".to_owned(), text: text.to_owned() };
    Arc::new(load(&[source], None).expect("loads").0)
}

fn bench(text: &str) -> (Bench, Said) {
    let mut bench = Bench::new();
    bench.input(Input::Reload(table(text)));
    let said = keep(&mut bench, "r1");
    (bench, said)
}

fn keep(bench: &mut Bench, register: &str) -> Said {
    bench.input(Input::KeepTrunk(Box::new(TrunkCharge {
        trunk: "pbx".to_owned(),
        register: register.to_owned(),
        options: "o1".to_owned(),
    })))
}

fn flow(remote: &str, transport: Transport, connection: Option<u64>) -> Flow {
    let local = "192.0.2.10:5060".parse().expect("address");
    Flow { transport, local, remote: remote.parse().expect("address"), connection }
}

fn udp(remote: &str) -> Result<(Flow, bool), String> {
    Ok((flow(remote, Transport::Udp, None), false))
}

/// The ways that are asked for.
fn asked(said: &Said) -> Vec<(TrunkTask, String)> {
    let asked = said.outputs.iter().filter_map(|output| match output {
        Output::FindTrunkFlow { task, hop, .. } => Some((*task, trunkline_sip::format_host(&hop.host))),
        _ => None,
    });
    asked.collect()
}

/// The last state that was told; the shard hears it, as every shard does.
fn state(bench: &mut Bench, said: &Said) -> TrunkState {
    let told = said.outputs.iter().rev().find_map(|output| match output {
        Output::TrunkState(state) => Some((**state).clone()),
        _ => None,
    });
    let told = told.expect("a state was told");
    bench.input(Input::TrunkState(Arc::new(told.clone())));
    told
}

fn found(bench: &mut Bench, said: &Said, remote: &str) -> Request {
    let (task, _) = asked(said).remove(0);
    bench.input(Input::TrunkFlowFound(task, udp(remote))).requests.remove(0)
}

fn answer(bench: &mut Bench, request: &Request, code: u16, fields: &[(HeaderName, &str)]) -> Said {
    let mut response = reply::to(request, code, Some("r"));
    for (name, value) in fields {
        response.headers.push(name.clone(), (*value).to_owned());
    }
    bench.receive(&response.to_bytes())
}

fn field(request: &Request, name: &HeaderName) -> String {
    request.headers.text(name).unwrap_or_default().into_owned()
}

const ASKS: &str = "Digest realm=\"pbx\",nonce=\"n\",qop=\"auth\"";

/// A trunk that is registered for so long.
fn registered(expires: &str) -> (Bench, TrunkState) {
    let (mut bench, said) = bench(TABLES);
    let register = found(&mut bench, &said, "192.0.2.20:5062");
    let mut said = answer(&mut bench, &register, 401, &[(HeaderName::WwwAuthenticate, ASKS)]);
    let again = said.requests.remove(0);
    let said = answer(&mut bench, &again, 200, &[(HeaderName::Expires, expires)]);
    let told = state(&mut bench, &said);
    (bench, told)
}

#[test]
fn a_trunk_registers_with_digest_and_refreshes_before_the_end() {
    let (mut bench, said) = bench(TABLES);
    assert_eq!(state(&mut bench, &said).registration, RegistrationState::Registering);
    let register = found(&mut bench, &said, "192.0.2.20:5062");
    assert_eq!((register.method.as_str(), register.target.as_str()), ("REGISTER", "sip:192.0.2.20:5062"));
    assert_eq!(field(&register, &HeaderName::To), "<sip:acme@192.0.2.20:5062>");
    assert_eq!(field(&register, &HeaderName::Contact), "<sip:acme@192.0.2.10:5060>");
    assert_eq!(field(&register, &HeaderName::Expires), "300");
    let mut said = answer(&mut bench, &register, 401, &[(HeaderName::WwwAuthenticate, ASKS)]);
    let again = said.requests.remove(0);
    assert!(field(&again, &HeaderName::Authorization).contains("username=\"acme\""));
    assert_eq!(
        (field(&again, &HeaderName::CallId), again.cseq().map(|c| c.number)),
        ("r1".to_owned(), Some(2))
    );
    // Our contact's own time counts, not that of another that the carrier lists.
    let contacts = "<sip:acme@198.51.100.1>;expires=3000, <sip:acme@192.0.2.10:5060>;expires=100";
    let said = answer(&mut bench, &again, 200, &[(HeaderName::Contact, contacts)]);
    let told = state(&mut bench, &said);
    assert_eq!(told.registration, RegistrationState::Registered);
    assert_eq!(told.expires_at, Some(Timestamp(bench.now + Duration::from_secs(100))));
    let start = bench.now;
    let next = bench.shard.trunks.poll_timeout().expect("a refresh").0 - start;
    assert!((60..=68).contains(&next.as_secs()), "a margin of 32 s and a little chance: {next:?}");
    let said = bench.pass(Duration::from_secs(69));
    let refresh = found(&mut bench, &said, "192.0.2.20:5062");
    assert!(field(&refresh, &HeaderName::Authorization).contains("nc=00000002"), "without asking again");
    answer(&mut bench, &refresh, 200, &[]);
    assert!(bench.shard.trunks.poll_timeout().expect("a refresh").0 > bench.now + Duration::from_secs(200));
}

#[test]
fn a_carrier_that_finds_it_too_brief_gets_more_once() {
    let (mut bench, said) = bench(TABLES);
    let register = found(&mut bench, &said, "192.0.2.20:5062");
    let mut said = answer(&mut bench, &register, 423, &[(HeaderName::MinExpires, "1800")]);
    let again = said.requests.remove(0);
    assert_eq!(field(&again, &HeaderName::Expires), "1800");
    let said = answer(&mut bench, &again, 423, &[(HeaderName::MinExpires, "3600")]);
    assert_eq!(asked(&said)[0].1, "192.0.2.30", "not for ever: the next address");
}

#[test]
fn addresses_take_turns_and_when_all_have_failed_there_is_a_growing_pause() {
    let (mut bench, said) = bench(TABLES);
    let register = found(&mut bench, &said, "192.0.2.20:5062");
    let said = answer(&mut bench, &register, 503, &[]);
    let (task, host) = asked(&said).remove(0);
    assert_eq!(host, "192.0.2.30");
    let said = bench.input(Input::TrunkFlowFound(task, Err("refused".to_owned())));
    let told = state(&mut bench, &said);
    assert_eq!((told.registration, told.reason.as_deref()), (RegistrationState::Failed, Some("refused")));
    let mut before = Duration::ZERO;
    for round in 0..10u32 {
        let pause = bench.shard.trunks.poll_timeout().expect("tried again").0 - bench.now;
        let longest = Duration::from_secs(1800).min(Duration::from_secs(30) * 2u32.pow(round));
        assert!(pause >= longest / 2 && pause <= longest, "{round}: {pause:?} of {longest:?}");
        assert!(pause * 2 >= before);
        before = pause;
        let mut said = bench.pass(pause + Duration::from_millis(1));
        for host in ["192.0.2.20", "192.0.2.30"] {
            let (task, asked_for) = asked(&said).remove(0);
            assert_eq!(asked_for, host, "from the first again");
            said = bench.input(Input::TrunkFlowFound(task, Err("refused".to_owned())));
        }
    }
    // Silence counts as a refusal, after 64×T1.
    let said = bench.pass(Duration::from_secs(1801));
    found(&mut bench, &said, "192.0.2.20:5062");
    assert_eq!(asked(&bench.pass(Duration::from_secs(33)))[0].1, "192.0.2.30");
}

#[test]
fn a_refresh_that_fails_leaves_the_registration_until_its_end() {
    let (mut bench, told) = registered("100");
    assert_eq!(told.registration, RegistrationState::Registered);
    let said = bench.pass(Duration::from_secs(70));
    let refresh = found(&mut bench, &said, "192.0.2.20:5062");
    let said = answer(&mut bench, &refresh, 500, &[]);
    let (task, _) = asked(&said).remove(0);
    let said = bench.input(Input::TrunkFlowFound(task, Err("refused".to_owned())));
    assert_eq!(state(&mut bench, &said).registration, RegistrationState::Registered);
    let said = bench.pass(Duration::from_secs(31));
    assert!(said.outputs.iter().any(|output| matches!(
        output,
        Output::TrunkState(state) if state.registration != RegistrationState::Registered && state.flow.is_none()
    )));
}

#[test]
fn calls_over_the_registered_flow_are_the_trunks_and_others_are_strangers() {
    let (mut bench, told) = registered("300");
    assert!(told.is_registered_on(flow("192.0.2.20:5062", Transport::Udp, None)));
    // The carrier calls the contact that it has; the number stands in To.
    let call = invite("a", "+14155550100", "").replacen("sip:+14155550100@", "sip:acme@", 1);
    assert!(bench.receive_from(call.as_bytes(), "203.0.113.9:5060").codes().is_empty(), "a stranger");
    let said = bench.receive(call.as_bytes());
    assert_eq!(said.codes(), [100, 180]);
}

#[test]
fn a_lost_connection_is_registered_anew_at_once() {
    let (mut bench, said) = bench(TABLES);
    let (task, _) = asked(&said).remove(0);
    let tcp = flow("192.0.2.20:5062", Transport::Tcp, Some(1));
    let mut said = bench.input(Input::TrunkFlowFound(task, Ok((tcp, false))));
    let register = said.requests.remove(0);
    let response = Message::Response(reply::to(&register, 200, Some("r")));
    let said = bench.receive_message(response, "192.0.2.20:5062", Transport::Tcp);
    assert!(state(&mut bench, &said).is_registered_on(tcp));
    let other = flow("192.0.2.20:5062", Transport::Tcp, Some(2));
    assert_eq!(bench.shard.trunks.registered_on(other), None);
    let said = bench.input(Input::ConnectionLost(1));
    assert_eq!(state(&mut bench, &said).registration, RegistrationState::Registering);
    assert_eq!(asked(&said).len(), 1);
}

#[test]
fn a_drain_and_a_table_without_the_trunk_take_the_contact_back() {
    for reload in [false, true] {
        let (mut bench, _) = registered("300");
        let bare = TABLES.replace("register = true\n", "");
        let said = bench.input(if reload { Input::Reload(table(&bare)) } else { Input::Drain });
        let leave = &said.requests[0];
        assert_eq!((leave.method.as_str(), field(leave, &HeaderName::Expires)), ("REGISTER", "0".to_owned()));
        assert!(reload || !bench.shard.has_left(), "a drain waits for its answer");
        let told = state(&mut bench, &said);
        assert_eq!((told.registration, told.flow), (RegistrationState::Off, None));
        answer(&mut bench, leave, 200, &[]);
        assert!(reload || bench.shard.has_left());
        bench.pass(Duration::from_secs(40));
        assert!(bench.shard.is_idle());
    }
}

#[test]
fn a_reload_keeps_a_trunk_that_is_the_same_and_registers_a_changed_one_anew() {
    let (mut bench, _) = registered("300");
    let said = bench.input(Input::Reload(table(&TABLES.replace("inbound = \"echo\"", ""))));
    assert!(said.requests.is_empty());
    assert!(asked(&keep(&mut bench, "r2")).is_empty(), "it is looked after");
    let said = bench.input(Input::Reload(table(&TABLES.replace("acme", "other"))));
    assert_eq!(field(&said.requests[0], &HeaderName::Expires), "0");
    let said = keep(&mut bench, "r3");
    let register = found(&mut bench, &said, "192.0.2.20:5062");
    assert_eq!(field(&register, &HeaderName::CallId), "r3");
    assert!(field(&register, &HeaderName::To).contains("sip:other@"));
}

const ASKED: &str = r#"
[[trunk]]
name = "pbx"
options_interval_seconds = 30
addresses = [ { address = "192.0.2.20", priority = 10 }, { address = "192.0.2.30", priority = 20 } ]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

/// One round of OPTIONS; `up` says which address answers.
fn round(bench: &mut Bench, said: &Said, up: [bool; 2]) -> Said {
    let mut all = Said::default();
    for ((task, _), up) in asked(said).into_iter().zip(up) {
        let mut said = bench.input(Input::TrunkFlowFound(task, udp("192.0.2.20:5060")));
        let options = said.requests.remove(0);
        assert_eq!(options.method, Method::Options);
        // Any answer is a sign of life, unless it says that nothing works.
        all.outputs.extend(answer(bench, &options, if up { 404 } else { 503 }, &[]).outputs);
    }
    all
}

#[test]
fn health_changes_after_two_of_the_same_and_calls_go_to_the_healthy_first() {
    let (mut bench, said) = bench(ASKED);
    let health = |told: &TrunkState| [told.addresses[0].healthy, told.addresses[1].healthy];
    let said = round(&mut bench, &said, [true, true]);
    let told = state(&mut bench, &said);
    assert_eq!((told.registration, health(&told)), (RegistrationState::Off, [Some(true); 2]));
    let mut outcome = Vec::new();
    for up in [false, true, false, false, true, false, true, true] {
        let said = bench.pass(Duration::from_secs(30));
        assert_eq!(asked(&said).len(), 2, "each every 30 s");
        let said = round(&mut bench, &said, [up, true]);
        outcome.push(health(&state(&mut bench, &said))[0]);
        let target = first_target(&mut bench);
        let wanted = if outcome.last() == Some(&Some(false)) { "192.0.2.30" } else { "192.0.2.20" };
        assert_eq!(target, wanted, "{outcome:?}");
    }
    let (up, down) = (Some(true), Some(false));
    assert_eq!(outcome, [up, up, up, down, down, down, down, up]);
    bench.input(Input::Drain);
    bench.input(Input::EndAll);
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.trunks.is_idle());
}

/// The address that a call would be placed to; the call is given up.
fn first_target(bench: &mut Bench) -> String {
    let wanted = OutboundCall { to: "+442079460000", from: "+14155550100", agent: None, trunk: None };
    let route = decide_outbound(&table(ASKED), &wanted).expect("goes out");
    let said = bench.input(Input::Place(Box::new(PlaceCall {
        id: "call_1".to_owned(),
        sip_call_id: "out1".to_owned(),
        route,
        variables: Pii::default(),
        fields: Vec::new(),
        dtmf_prefix: None,
    })));
    let target = said.outputs.iter().find_map(|output| match output {
        Output::FindFlow { hop, .. } => Some(trunkline_sip::format_host(&hop.host)),
        _ => None,
    });
    bench.input(Input::HangUp(said.call()));
    target.expect("a way is asked for")
}

const CHALLENGES: &str = r#"
[[trunk]]
name = "phones"
challenge = true
auth_username = "acme"
auth_password = "s3cret"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

/// Remembers one nonce, which is all that a ladder has.
#[derive(Debug, Default)]
struct OneNonce(AtomicU32);

impl NonceBook for OneNonce {
    fn takes(&self, _: &str, count: u32, _: u64, _: u64) -> bool {
        self.0.fetch_max(count, Ordering::Relaxed) < count
    }
}

fn challenging() -> Bench {
    let mut bench = Bench::new();
    bench.config().challenger = Challenger::new([7; 32], Arc::new(OneNonce::default()));
    bench.input(Input::Reload(table(CHALLENGES)));
    bench
}

/// The INVITE with the answer to the challenge that says `algorithm`.
fn answered(challenge: &Response, algorithm: &str, password: &str, id: &str, count: u32) -> String {
    let values = challenge.headers.all(&HeaderName::WwwAuthenticate);
    let text = values.map(|header| String::from_utf8_lossy(header.value()).into_owned());
    let value = text.into_iter().find(|value| value.contains(algorithm)).expect("offered");
    let mut headers = trunkline_sip::Headers::new();
    headers.push(HeaderName::WwwAuthenticate, value);
    let asked = Asked { method: &Method::Invite, uri: "sip:+14155550100@192.0.2.10", body: b"" };
    let who = Credentials { username: "acme", password };
    let answer = Challenge::of(&headers, false, None).expect("one").answer(who, asked, "c", count);
    invite(id, "+14155550100", &format!("Authorization: {answer}\r\n"))
}

/// From anywhere: nobody is known there beforehand.
fn from_anywhere(bench: &mut Bench, text: &str) -> Said {
    bench.receive_from(text.as_bytes(), "203.0.113.9:5060")
}

#[test]
fn a_caller_is_challenged_without_state_and_taken_with_either_hash() {
    for algorithm in ["SHA-256", "MD5"] {
        let mut bench = challenging();
        let said = from_anywhere(&mut bench, &invite("a", "+14155550100", ""));
        assert_eq!(said.codes(), [401]);
        assert!(bench.shard.is_idle(), "nothing is remembered");
        let good = answered(&said.responses[0], algorithm, "s3cret", "a2", 1);
        assert_eq!(from_anywhere(&mut bench, &good).codes(), [100, 180]);
        assert_eq!(from_anywhere(&mut bench, &good).codes(), [180], "sent again: its transaction knows it");
    }
}

#[test]
fn a_replay_is_stale_and_the_next_count_is_taken() {
    let mut bench = challenging();
    let challenge = from_anywhere(&mut bench, &invite("a", "+14155550100", "")).responses.remove(0);
    from_anywhere(&mut bench, &answered(&challenge, "SHA-256", "s3cret", "a2", 1));
    let said = from_anywhere(&mut bench, &answered(&challenge, "SHA-256", "s3cret", "b", 1));
    assert_eq!(said.codes(), [401]);
    assert!(
        said.responses[0]
            .headers
            .text(&HeaderName::WwwAuthenticate)
            .is_some_and(|v| v.contains("stale=true"))
    );
    let said = from_anywhere(&mut bench, &answered(&challenge, "SHA-256", "s3cret", "c", 2));
    assert_eq!(said.codes(), [100, 180]);
    // An old nonce is asked for again, without a word against the password.
    bench.pass(Duration::from_secs(301));
    let said = from_anywhere(&mut bench, &answered(&challenge, "SHA-256", "s3cret", "d", 3));
    assert!(
        said.responses[0]
            .headers
            .text(&HeaderName::WwwAuthenticate)
            .is_some_and(|v| v.contains("stale=true"))
    );
}

#[test]
fn wrong_names_wrong_passwords_and_unknown_numbers_get_the_same_answer() {
    let mut bench = challenging();
    let challenge = from_anywhere(&mut bench, &invite("a", "+14155550100", "")).responses.remove(0);
    let wrong = answered(&challenge, "SHA-256", "guess", "b", 1);
    let nobody =
        answered(&challenge, "SHA-256", "s3cret", "c", 1).replace("username=\"acme\"", "username=\"x\"");
    let unknown = invite("d", "+14155559999", "");
    for attempt in [wrong, nobody, unknown] {
        let said = from_anywhere(&mut bench, &attempt);
        assert_eq!(said.codes(), [401]);
        let fields = said.responses[0].headers.all(&HeaderName::WwwAuthenticate);
        let values: Vec<String> =
            fields.map(|header| String::from_utf8_lossy(header.value()).into_owned()).collect();
        assert!(values.len() == 2 && values.iter().all(|value| !value.contains("stale")), "{values:?}");
    }
    assert!(bench.shard.is_idle());
}

#[test]
fn whoever_must_still_prove_itself_takes_no_place() {
    let mut bench = challenging();
    let flow = flow("203.0.113.9:5060", Transport::Udp, None);
    let mut begins = |text: &str| {
        let message = read::datagram(&Bytes::copy_from_slice(text.as_bytes())).expect("a message");
        let now = bench.moment();
        let would = bench.shard.would_begin_call(&message, flow, &None, now);
        let said = bench.input(Input::Message(Box::new(message), flow, None));
        (would, said)
    };
    let (would, said) = begins(&invite("a", "+14155550100", ""));
    assert!(!would);
    assert!(begins(&answered(&said.responses[0], "MD5", "s3cret", "b", 1)).0);
    assert!(!begins(&answered(&said.responses[0], "MD5", "guess", "c", 2)).0);
}

#[test]
fn a_hash_that_the_trunk_does_not_ask_for_proves_nothing() {
    let mut bench = challenging();
    let asking = "challenge = true\nchallenge_algorithms = [\"SHA-512-256\", \"SHA-256\"]";
    bench.input(Input::Reload(table(&CHALLENGES.replace("challenge = true", asking))));
    let challenge = from_anywhere(&mut bench, &invite("a", "+14155550100", "")).responses.remove(0);
    let asked = challenge.headers.all(&HeaderName::WwwAuthenticate);
    let asked: Vec<_> = asked.map(|header| String::from_utf8_lossy(header.value()).into_owned()).collect();
    let [stronger, weaker] = &asked[..] else { panic!("{asked:?}") };
    assert!(stronger.contains("SHA-512-256") && weaker.contains("=SHA-256"), "{asked:?}");
    // Right in everything but its hash.
    let mut foreign = challenge.clone();
    foreign.headers.push(HeaderName::WwwAuthenticate, weaker.replace("SHA-256", "MD5"));
    let foreign = answered(&foreign, "MD5", "s3cret", "b", 1);
    assert_eq!(from_anywhere(&mut bench, &foreign).codes(), [401]);
    let good = answered(&challenge, "SHA-512-256", "s3cret", "c", 1);
    assert_eq!(from_anywhere(&mut bench, &good).codes(), [100, 180]);
}
