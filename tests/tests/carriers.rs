//! A carrier that does what carriers do: SIPp as the callee of calls that the API places.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_tests::daemon::poll;
use trunkline_tests::peers::Callee;
use trunkline_tests::{Daemon, Setup, http};

fn start(address: &str, more: &str) -> Daemon {
    let tables = format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
{address}
{more}
[[agent]]
name = "tone"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "tone"
"#
    );
    Setup::new(&tables).start()
}

fn place(daemon: &Daemon) -> String {
    place_to(daemon, "+442079460000")
}

fn place_to(daemon: &Daemon, to: &str) -> String {
    let body = json!({"to": to, "from": "+14155550100"}).to_string();
    let kind = "Content-Type: application/json\r\n";
    let (status, text) = http::request(daemon.api, "POST", "/v1/calls", kind, &body);
    assert_eq!(status, 202, "{text}");
    let placed: Value = serde_json::from_str(&text).expect("JSON");
    placed["id"].as_str().expect("an id").to_owned()
}

/// A call to a carrier of that scenario, and its record.
fn call(scenario: &str) -> Value {
    let mut callee = Callee::new(scenario, "u1", &[]);
    let mut daemon = start(&format!("address = \"127.0.0.1:{}\"", callee.port), "");
    place(&daemon);
    assert!(callee.went_through_in(Duration::from_secs(75)), "{scenario}");
    daemon.record()
}

fn completed(scenario: &str) {
    let record = call(scenario);
    assert_eq!(
        (record["status"].as_str(), record["reason"].as_str(), record["codec"].as_str()),
        (Some("completed"), Some("the callee hung up"), Some("PCMU")),
        "{scenario} {record}"
    );
}

#[test]
fn a_carrier_that_forks_has_one_winner() {
    completed("uas_fork");
}

#[test]
fn a_ringing_is_acknowledged_where_the_carrier_asks_for_it() {
    completed("uas_plain");
    completed("uas_prack");
}

#[test]
fn a_callee_moves_its_media_while_it_rings() {
    completed("uas_update");
}

#[test]
fn a_carrier_imposes_and_refreshes_a_session() {
    completed("uas_refresh");
}

/// Takes 50 s: the shortest session that RFC 4028 allows is refreshed after 45.
#[test]
fn our_refresh_meets_the_carriers_reinvite_and_comes_again() {
    completed("uas_glare");
}

#[test]
fn a_second_offer_before_the_first_is_answered_comes_back() {
    completed("uas_overlap");
}

#[test]
fn a_session_too_short_for_the_carrier_is_asked_for_anew() {
    completed("uas_too_brief");
}

#[test]
fn an_answer_that_crosses_our_cancel_is_ended_and_a_refusal_taken() {
    for scenario in ["uas_cross", "uas_cross_busy"] {
        let mut callee = Callee::new(scenario, "u1", &[]);
        let mut daemon = start(&format!("address = \"127.0.0.1:{}\"", callee.port), "");
        let id = place(&daemon);
        // Given up before its INVITE is out it would never be placed. The CANCEL waits for the 180 by itself.
        let shown = || http::get(daemon.api, &format!("/v1/calls/{id}")).1;
        poll("the INVITE", || shown().contains("INVITE").then_some(()));
        assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 202);
        assert!(callee.went_through(), "{scenario}");
        assert_eq!(daemon.record()["status"], "canceled", "{scenario}");
    }
}

#[test]
fn a_carrier_sends_us_elsewhere_and_the_trunk_says_whether_we_go() {
    for follows in [true, false] {
        let mut second = Callee::new("uas_plain", "u1", &[]);
        let place_key = format!("sip:+442079460001@127.0.0.1:{}", second.port);
        let mut first = Callee::new("uas_moved", "u1", &["-key", "place", &place_key]);
        let address = format!("address = \"127.0.0.1:{}\"", first.port);
        let mut daemon = start(&address, &format!("follow_redirects = {follows}"));
        place(&daemon);
        assert!(first.went_through());
        let record = daemon.record();
        let (code, status) = if follows { (200, "completed") } else { (302, "failed") };
        assert_eq!(
            (record["sip_code"].as_u64(), record["status"].as_str()),
            (Some(code), Some(status)),
            "{record}"
        );
        if follows {
            assert!(second.went_through());
        }
    }
}

#[test]
fn an_emergency_number_that_the_trunk_names_goes_out_as_it_is_and_the_carrier_learns_who_calls() {
    let mut callee = Callee::new("uas_identity", "u1", &[]);
    let keys = "short_codes = [\"911\"]\nasserted_identity = true\nprivacy = \"id\"";
    let mut daemon = start(&format!("address = \"127.0.0.1:{}\"", callee.port), keys);
    place_to(&daemon, "911");
    assert!(callee.went_through());
    assert_eq!(daemon.record()["to"], "911");
}

#[test]
fn a_carrier_without_room_is_passed_over() {
    let mut full = Callee::new("uas_refuse_503", "u1", &[]);
    let mut second = Callee::new("uas_plain", "u1", &[]);
    let addresses = format!(
        "addresses = [ {{ address = \"127.0.0.1:{}\", priority = 1 }}, {{ address = \"127.0.0.1:{}\", priority = 2 }} ]",
        full.port, second.port
    );
    let mut daemon = start(&addresses, "");
    let id = place(&daemon);
    assert!(full.went_through() && second.went_through());
    assert_eq!(daemon.record()["call_id"], id.as_str());
    let ended = || {
        let (_, text) = http::get(daemon.api, &format!("/v1/calls/{id}"));
        text.contains("\"completed\"").then_some(())
    };
    poll("the end", ended);
}
