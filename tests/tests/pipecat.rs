//! An unmodified Pipecat bot answers a call that SIPp places: echo, tone, marks, barge-in, key
//! presses, hang-up, at 8, 16 and 24 kHz.

use serde_json::Value;
use trunkline_tests::Daemon;
use trunkline_tests::daemon::poll;
use trunkline_tests::peers::{Bot, call_with_media};

fn daemon(bot: &Bot, mode: &str) -> Daemon {
    Daemon::start(&format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
headers_to_attributes = {{ "X-Account" = "account" }}
[[agent]]
name = "bot"
connect = "ws://127.0.0.1:{}/ws?mode={mode}"
protocol = "twilio"
secret = "s3cret"
[[number]]
number = "+14155550100"
inbound = "bot"
metadata = {{ office = "sf" }}
"#,
        bot.port
    ))
}

/// The bot's record of its only call, once it is over.
fn over(bot: &Bot) -> Value {
    poll("the bot's record", || bot.stats().get(0).filter(|record| !record["ended"].is_null()).cloned())
}

#[test]
fn the_echo_comes_back_at_every_rate() {
    for rate in ["8000", "16000", "24000"] {
        let bot = Bot::start(&["--rate", rate]);
        let mut daemon = daemon(&bot, "echo");
        let heard = call_with_media(
            daemon.sip,
            "+14155550100",
            "--hz 600 --secs 4 --expect 600:3 --min-pkts 150",
            4500,
            &[],
        );
        assert_eq!(heard["ok"], true, "{rate} Hz: {heard}");
        assert_eq!(daemon.record()["ended_by"], "caller");
        let stats = over(&bot);
        assert_eq!(stats["custom_parameters"]["to_number"], "+14155550100", "{stats}");
        assert_eq!(stats["custom_parameters"]["system__called_number"], "+14155550100");
        assert_eq!(stats["custom_parameters"]["office"], "sf");
        assert!(stats["headers"]["x-twilio-signature"].is_string(), "{stats}");
        assert!(stats["stream_sid"].as_str().is_some_and(|sid| sid.starts_with("MZ") && sid.len() == 34));
    }
}

#[test]
fn the_bots_own_tone_is_heard() {
    let bot = Bot::start(&["--tone-secs", "2"]);
    let mut daemon = daemon(&bot, "tone");
    let heard = call_with_media(daemon.sip, "+14155550100", "--silent --secs 3 --min-pkts 120", 3500, &[]);
    assert_eq!(daemon.record()["sip_code"], 200, "{heard}");
    let heard = call_with_media(daemon.sip, "+14155550100", "--silent --secs 1.8 --expect 440:3", 2500, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
}

#[test]
fn key_presses_reach_the_bot_once_each_and_it_acts_on_them() {
    let bot = Bot::start(&[]);
    let mut daemon = daemon(&bot, "sink");
    // 1: a mark at once; 3: a tone of 880 Hz; 4: a tone and a mark behind it; 2: barge-in.
    let tool = "--hz 300 --secs 5 --dtmf 1@0.5,3@1,4@2.2,2@2.8 --min-pkts 200";
    let heard = call_with_media(daemon.sip, "+14155550100", tool, 5500, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(daemon.record()["media"]["dtmf_digits"], 4);
    assert_eq!(over(&bot)["dtmf"], "1342");
}

#[test]
fn the_bot_hangs_up() {
    let bot = Bot::start(&["--end-silence", "0"]);
    let mut daemon = daemon(&bot, "echo");
    let tool = "--hz 300 --secs 2 --dtmf 9@0.8";
    let _ = trunkline_tests::peers::Sipp::new("uac_rtptool", daemon.sip, "+14155550100")
        .with(&[
            "-key",
            "mport",
            &trunkline_tests::daemon::free_port().to_string(),
            "-key",
            "tool",
            tool,
            "-d",
            "6000",
        ])
        .code();
    let record = daemon.record();
    assert_eq!(
        (record["ended_by"].as_str(), record["reason"].as_str()),
        (Some("agent"), Some("the agent left")),
        "{record}"
    );
}
