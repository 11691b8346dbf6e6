//! Agents of linear audio, as jambonz and FreeSWITCH call them: tones both ways at every rate, whole
//! sounds, marks, key presses, the end; dialled and dialling in.

use serde_json::{Value, json};
use trunkline_tests::Daemon;
use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::heard::{hertz, sound, stretches};
use trunkline_tests::peers::{LinearAgent, Sipp, call_with_media};

const RATES: [u32; 3] = [8000, 16_000, 24_000];

fn tables(connect: &str, rate: u32) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "bot"
connect = {connect}
protocol = "l16"
sample_rate = {rate}
secret = "s3cret"
connect_timeout_seconds = 2
[[number]]
number = "+14155550100"
inbound = "bot"
metadata = {{ office = "sf" }}
"#
    )
}

fn dialled(agent: &LinearAgent, rate: u32) -> Daemon {
    // The first address is dead: the second is tried.
    let connect = format!("[\"ws://127.0.0.1:{}/\", \"ws://127.0.0.1:{}/\"]", free_port(), agent.port);
    Daemon::start(&tables(&connect, rate))
}

/// The texts of one kind that the agent was sent.
fn texts<'a>(seen: &'a Value, key: &str, kind: &str) -> Vec<&'a Value> {
    let all = seen["texts"].as_array().into_iter().flatten();
    all.filter(|text| text[key] == kind).collect()
}

#[test]
fn tones_pass_both_ways_at_every_rate() {
    for rate in RATES {
        let agent = LinearAgent::listen(&["--rate", &rate.to_string(), "--mode", "tone"]);
        let mut daemon = dialled(&agent, rate);
        let tool = "--hz 600 --secs 3 --expect 1000:4 --min-pkts 100";
        let heard = call_with_media(daemon.sip, "+14155550100", tool, 3200, &[]);
        assert_eq!(heard["ok"], true, "{rate} Hz: {heard}");
        assert_eq!(daemon.record()["ended_by"], "caller");
        let seen = agent.over();
        let (hertz, purity) = (seen["hertz"].as_f64().expect("a tone"), seen["purity"].as_f64());
        assert!((hertz - 600.0).abs() < 2.0 && purity > Some(0.97), "{rate} Hz: {seen}");
        assert!(seen["seconds"].as_f64() > Some(2.0), "{rate} Hz: {seen}");
        // Frames of 20 ms, whole.
        let sizes: Vec<&String> = seen["sizes"].as_object().expect("sizes").keys().collect();
        assert_eq!(sizes, [&(rate / 25).to_string()], "{seen}");
        let metadata = &seen["texts"][0];
        for (key, value) in [
            ("sampleRate", json!(rate)),
            ("mixType", json!("mono")),
            ("direction", json!("inbound")),
            ("to", json!("+14155550100")),
            ("office", json!("sf")),
        ] {
            assert_eq!(metadata[key], value, "{metadata}");
        }
        assert!(metadata["callSid"].as_str().is_some_and(|sid| sid.starts_with("CA")), "{metadata}");
        assert_eq!(seen["offered"], "audio.jambonz.org, audio.drachtio.org");
        // The second of them is what this server prefers.
        assert_eq!(seen["subprotocol"], "audio.drachtio.org", "{seen}");
        // As `printf bot:s3cret | base64` has it.
        assert_eq!(seen["authorization"], "Basic Ym90OnMzY3JldA==");
        assert_eq!(seen["ended"], 1000, "closed in order");
    }
}

#[test]
fn whole_sounds_marks_keys_and_the_end() {
    let agent = LinearAgent::listen(&["--rate", "16000", "--mode", "sink", "--plain"]);
    let mut daemon = dialled(&agent, 16_000);
    let wav = daemon.folder.join("heard.wav");
    // A sound of half a second, a long one that is cut, keys of the agent's, the end.
    let tool = format!(
        "--hz 300 --speak 90:91 --secs 6 --dtmf 1@0.5,2@2,3@3.5,9@4.5 --wav {} --min-pkts 200",
        wav.display()
    );
    let media = free_port().to_string();
    let result = daemon.folder.join("heard.json");
    let tool = format!("{tool} --json {}", result.display());
    // The agent hangs up: SIPp, which wanted to, fails.
    let _ = Sipp::new("uac_rtptool", daemon.sip, "+14155550100")
        .with(&["-key", "mport", &media, "-key", "tool", &tool, "-d", "8000"])
        .code();
    let record = daemon.record();
    assert_eq!(
        (record["ended_by"].as_str(), record["reason"].as_str()),
        (Some("agent"), Some("the agent left"))
    );
    let seen = agent.over();
    let keys: Vec<&Value> = texts(&seen, "event", "dtmf").iter().map(|text| &text["dtmf"]).collect();
    assert_eq!(keys, ["1", "2", "3", "9"], "{seen}");
    assert_eq!(texts(&seen, "type", "playDone"), [&json!({ "type": "playDone", "data": { "id": "s1" } })]);
    let marks: Vec<&Value> = texts(&seen, "type", "mark").iter().map(|text| &text["data"]).collect();
    let mark = |name: &str, event: &str| json!({ "name": name, "event": event });
    assert_eq!(marks, [&mark("behind", "playout"), &mark("late", "cleared")]);
    let heard: Value =
        poll("what the caller heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    assert_eq!(heard["digits"], "5#", "{heard}");
    let sounds = stretches(&wav);
    assert!((sounds[0].hertz - 700.0).abs() < 4.0 && (sounds[0].seconds - 0.5).abs() < 0.1, "{sounds:?}");
    assert!((sounds[1].hertz - 900.0).abs() < 4.0 && sounds[1].seconds < 1.0, "{sounds:?}");
}

#[test]
fn an_agent_of_linear_audio_dials_in() {
    let mut daemon = Daemon::start(&tables("\"dial-in\"", 24_000));
    let url = format!("ws://127.0.0.1:{}/v1/agents/bot/connect", daemon.api);
    let agent = LinearAgent::dial_in(&url, "s3cret", &["--rate", "24000", "--mode", "echo"]);
    // Callers get 480 until its socket is there.
    let tool = "--hz 440 --secs 2.5 --expect 440:4 --min-pkts 60";
    poll("the agent's socket", || {
        let media = free_port().to_string();
        let call = ["-key", "mport", &media, "-key", "tool", "--hz 440 --secs 0.2", "-d", "200"];
        (Sipp::new("uac_rtptool", daemon.sip, "+14155550100").with(&call).code() == Some(0)).then_some(())
    });
    poll("its second socket", || (agent.calls().len() > 1).then_some(()));
    let heard = call_with_media(daemon.sip, "+14155550100", tool, 2700, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    let seen = agent.over();
    assert_eq!(seen["subprotocol"], "audio.jambonz.org", "{seen}");
    assert_eq!(daemon.wait_for("call ended")["to"], "+14155550100");
}

#[test]
fn an_agent_that_lost_its_connection_comes_again_while_music_plays() {
    let agent = LinearAgent::listen(&["--rate", "16000", "--mode", "echo"]);
    let connect = format!("\"ws://127.0.0.1:{}/\"\nreconnect_seconds = 10", agent.port);
    let mut daemon = Daemon::start(&tables(&connect, 16_000));
    let wav = daemon.folder.join("heard.wav");
    let tool = format!("--hz 500 --secs 6 --dtmf 4@2 --wav {} --min-pkts 200", wav.display());
    let heard = call_with_media(daemon.sip, "+14155550100", &tool, 6300, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(daemon.record()["ended_by"], "caller");
    let calls = agent.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    let (first, again) = (&calls[0]["texts"][0], &calls[1]["texts"][0]);
    assert!(first["callSid"].is_string() && first["callSid"] == again["callSid"], "{again}");
    assert_eq!((&first["reconnected"], &again["reconnected"]), (&Value::Null, &json!("true")));
    assert_eq!(again["to"], "+14155550100");
    // Its echo before and after; between them the music, and no silence that a caller would take for the end.
    for (from, until) in [(0.8, 1.8), (4.5, 5.5)] {
        let heard = hertz(&wav, from, until);
        assert!((heard - 500.0).abs() < 8.0, "{from} to {until} s: {heard} Hz");
    }
    assert!(sound(&wav, 2.0, 5.5) > 2.5, "{:?}", stretches(&wav));
}

#[test]
fn an_agent_that_does_not_come_again_ends_the_call() {
    let agent = LinearAgent::listen(&["--mode", "echo"]);
    let connect = format!("\"ws://127.0.0.1:{}/\"\nreconnect_seconds = 1", agent.port);
    let mut daemon = Daemon::start(&tables(&connect, 8000));
    let media = free_port().to_string();
    let call = ["-key", "mport", &media, "-key", "tool", "--hz 500 --secs 4 --dtmf 5@1", "-d", "8000"];
    let _ = Sipp::new("uac_rtptool", daemon.sip, "+14155550100").with(&call).code();
    let record = daemon.record();
    assert_eq!(record["ended_by"], "agent", "{record}");
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("did not come again") && reason.contains("cannot be reached"), "{record}");
}
