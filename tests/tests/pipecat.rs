//! An unmodified Pipecat bot answers a call that SIPp places: echo, tone, marks, barge-in, key
//! presses, hang-up, at 8, 16 and 24 kHz.
//!
//! A bot written in Python stands still for hundreds of milliseconds on a busy machine, and then a tone
//! has a hole in it. What is looked at is what the gateway answers for: the frequency of all that sounds,
//! how much of it there is in total, and what came before what.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use trunkline_tests::certificates::Authority;
use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::heard::{Stretch, sound, stretches};
use trunkline_tests::peers::{Bot, Callee, Sipp, call_with_media};
use trunkline_tests::{Daemon, Setup};

/// A bot resamples in Python and wants a core: one test at a time has the machine.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn daemon(bot: &Bot, mode: &str) -> Daemon {
    Daemon::start(&tables(&format!("ws://127.0.0.1:{}/ws?mode={mode}", bot.port)))
}

fn tables(url: &str) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
headers_to_attributes = {{ "X-Account" = "account" }}
[[agent]]
name = "bot"
connect = "{url}"
protocol = "twilio"
secret = "s3cret"
[[number]]
number = "+14155550100"
inbound = "bot"
metadata = {{ office = "sf" }}
"#
    )
}

/// What Twilio signs a handshake with, by OpenSSL: the base64 of the HMAC-SHA1 of the address.
fn signature(secret: &str, url: &str) -> String {
    let script =
        format!("printf %s '{url}' | openssl dgst -sha1 -hmac '{secret}' -binary | openssl base64 -A");
    let output = Command::new("bash").args(["-c", &script]).output().expect("openssl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The bot's record of its only call, once it is over.
fn over(bot: &Bot) -> Value {
    poll("the bot's record", || bot.stats().get(0).filter(|record| !record["ended"].is_null()).cloned())
}

const RATES: [&str; 3] = ["8000", "16000", "24000"];

/// How much longer or shorter than what was said all that is heard may be, in seconds.
const CLOSE: f64 = 0.15;

/// All that sounds in `wav` has this frequency.
fn assert_tone(wav: &Path, hertz: f64, rate: &str) {
    let all = stretches(wav);
    let fits = |part: &Stretch| part.seconds < 0.1 || (part.hertz - hertz).abs() < 8.0;
    assert!(!all.is_empty() && all.iter().all(fits), "{rate} Hz: {all:?}");
}

#[test]
fn the_echo_comes_back_at_every_rate() {
    let _alone = alone();
    for rate in RATES {
        let bot = Bot::start(&["--rate", rate]);
        let mut daemon = daemon(&bot, "echo");
        let wav = daemon.folder.join("heard.wav");
        // Two seconds of tone, spoken once the bot has its pipeline up.
        let tool = format!("--hz 600 --speak 1:3 --secs 5 --min-pkts 100 --wav {}", wav.display());
        let heard = call_with_media(daemon.sip, "+14155550100", &tool, 5500, &[]);
        assert_eq!(heard["ok"], true, "{rate} Hz: {heard}");
        assert_tone(&wav, 600.0, rate);
        let seconds = sound(&wav, 0.0, 5.0);
        assert!((seconds - 2.0).abs() < CLOSE, "{rate} Hz: {seconds} s of {:?}", stretches(&wav));
        assert_eq!(daemon.record()["ended_by"], "caller");
        let stats = over(&bot);
        assert_eq!(stats["custom_parameters"]["to_number"], "+14155550100", "{stats}");
        assert_eq!(stats["custom_parameters"]["system__called_number"], "+14155550100");
        assert_eq!(stats["custom_parameters"]["office"], "sf");
        // From the header X-Account of the INVITE.
        assert_eq!(stats["custom_parameters"]["account"], "4711", "{stats}");
        let url = format!("ws://127.0.0.1:{}/ws?mode=echo", bot.port);
        assert_eq!(stats["headers"]["x-twilio-signature"], signature("s3cret", &url), "{stats}");
        assert!(stats["stream_sid"].as_str().is_some_and(|sid| sid.starts_with("MZ") && sid.len() == 34));
    }
}

#[test]
fn the_bots_own_tone_is_heard_whole_at_every_rate() {
    let _alone = alone();
    for rate in RATES {
        let bot = Bot::start(&["--rate", rate]);
        let mut daemon = daemon(&bot, "sink");
        let wav = daemon.folder.join("heard.wav");
        // Key 3 has it say a second of 880 Hz, when the caller is listening for sure.
        let tool = format!("--hz 300 --dtmf 3@1 --secs 4 --min-pkts 100 --wav {}", wav.display());
        let heard = call_with_media(daemon.sip, "+14155550100", &tool, 4500, &[]);
        assert_eq!(daemon.record()["sip_code"], 200, "{heard}");
        assert_tone(&wav, 880.0, rate);
        let seconds = sound(&wav, 0.0, 4.0);
        assert!((seconds - 1.0).abs() < CLOSE, "{rate} Hz: {seconds} s of {:?}", stretches(&wav));
    }
}

#[test]
fn key_presses_reach_the_bot_once_each_and_it_acts_on_them() {
    let _alone = alone();
    for rate in RATES {
        press_keys(rate);
    }
}

/// When the caller asks for the second tone, in seconds.
const SECOND: f64 = 4.0;

fn press_keys(rate: &str) {
    let bot = Bot::start(&["--rate", rate]);
    let mut daemon = daemon(&bot, "sink");
    // 1: a mark at once; 3: a tone of 880 Hz; 2: barge-in; 4: a tone and a mark behind it.
    let wav = daemon.folder.join("heard.wav");
    let tool = format!(
        "--hz 300 --secs 6.5 --dtmf 1@1.5,3@2,2@2.5,4@{SECOND} --min-pkts 100 --wav {}",
        wav.display()
    );
    let heard = call_with_media(daemon.sip, "+14155550100", &tool, 7000, &[]);
    assert_eq!(heard["ok"], true, "{rate} Hz: {heard}");
    assert_eq!(daemon.record()["media"]["dtmf_digits"], 4);
    let stats = over(&bot);
    assert_eq!(stats["dtmf"], "1324", "{rate} Hz");
    assert_eq!(
        stats["marks"],
        serde_json::json!(["mark-1", "mark-2"]),
        "{rate} Hz: the one at once, the one behind the tone"
    );
    // The first was cut when the bot was interrupted half a second into it; the second is whole.
    assert_tone(&wav, 880.0, rate);
    let (cut, whole) = (sound(&wav, 0.0, SECOND - 0.2), sound(&wav, SECOND - 0.2, 6.5));
    assert!(
        cut < 0.9 && (whole - 1.0).abs() < CLOSE,
        "{rate} Hz: {cut} s, {whole} s of {:?}",
        stretches(&wav)
    );
}

#[test]
fn the_bot_hangs_up_at_every_rate() {
    let _alone = alone();
    for rate in RATES {
        let bot = Bot::start(&["--rate", rate, "--end-silence", "0"]);
        let mut daemon = daemon(&bot, "echo");
        let media = free_port().to_string();
        let arguments =
            ["-key", "mport", &media, "-key", "tool", "--hz 300 --secs 2 --dtmf 9@0.8", "-d", "6000"];
        // SIPp does not expect the BYE.
        let _ = Sipp::new("uac_rtptool", daemon.sip, "+14155550100").with(&arguments).code();
        let record = daemon.record();
        assert_eq!(
            (record["ended_by"].as_str(), record["reason"].as_str()),
            (Some("agent"), Some("the agent left")),
            "{rate} Hz: {record}"
        );
    }
}

/// Tables whose bot may have its callers put through by a carrier at that port.
fn tables_of_transfers(bot: &Bot, mode: &str, carrier: u16) -> String {
    let tables = tables(&format!("ws://127.0.0.1:{}/ws?mode={mode}", bot.port));
    let address = format!("name = \"carrier\"\naddress = \"sip:127.0.0.1:{carrier};transport=udp\"");
    let tables = tables.replace("name = \"carrier\"", &address);
    let tables = tables.replace("protocol = \"twilio\"", "protocol = \"twilio\"\nevents = true");
    tables.replace("inbound = \"bot\"", "inbound = \"bot\"\nallowed_destinations = [\"+1415*\"]")
}

#[test]
fn a_bot_has_its_caller_put_through_by_the_carrier_and_is_told_where_that_fails() {
    let _alone = alone();
    for (scenario, ok, code) in [("uac_refer_ok", true, 200), ("uac_refer_refused", false, 603)] {
        let bot = Bot::start(&["--end-silence", "0"]);
        let mut daemon = Daemon::start(&tables_of_transfers(&bot, "transfer", free_port()));
        Sipp::new(scenario, daemon.sip, "+14155550100").run();
        let record = daemon.record();
        assert_eq!(record["transfer"]["ok"], ok, "{scenario}: {record}");
        let stats = over(&bot);
        let result = &stats["news"][0]["transfer_result"];
        assert_eq!(
            (&result["ok"], &result["code"]),
            (&Value::from(ok), &Value::from(code)),
            "{scenario}: {stats}"
        );
        if !ok {
            // It spoke on and ended the call itself.
            assert_eq!(record["ended_by"], "agent", "{record}");
        }
    }
}

#[test]
fn a_bot_has_its_caller_bridged_to_somebody_whom_it_hears() {
    let _alone = alone();
    let media = free_port().to_string();
    let result = std::env::temp_dir().join(format!("bridged-{}-{media}.json", std::process::id()));
    let tool = format!("--hz 500 --secs 2 --json {}", result.display());
    let mut callee = Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
    let bot = Bot::start(&[]);
    let mut daemon = Daemon::start(&tables_of_transfers(&bot, "bridge", callee.port));
    let caller = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 4", 4500, &[]);
    let heard: Value =
        poll("what the callee heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    assert!(callee.went_through(), "its BYE came");
    let _ = std::fs::remove_file(result);
    let hertz = |heard: &Value| heard["peak_hz"].as_f64().unwrap_or_default();
    assert!((hertz(&heard) - 700.0).abs() < 10.0, "the callee hears the caller: {heard}");
    assert!((hertz(&caller) - 500.0).abs() < 10.0, "the caller hears the callee: {caller}");
    let record = daemon.record();
    assert_eq!(record["transferred_to"], "+14155550177", "{record}");
    let stats = over(&bot);
    assert_eq!(stats["news"][0]["transfer_result"]["ok"], true, "{stats}");
}

#[test]
fn a_bot_behind_tls_answers_where_its_certificate_is_believed() {
    let _alone = alone();
    let authority = Authority::new("bot");
    authority.sign("bot", "DNS:localhost");
    let bot = Bot::start(&["--certificate", &authority.path("bot.pem"), "--key", &authority.path("bot.key")]);
    let url = |host: &str| format!("wss://{host}:{}/ws?mode=echo", bot.port);
    let mut daemon = Setup::new(&tables(&url("localhost")))
        .environment("SSL_CERT_FILE", &authority.path("ca.pem"))
        .start();
    let wav = daemon.folder.join("heard.wav");
    let tool = format!("--hz 600 --speak 1:2 --secs 3.5 --min-pkts 75 --wav {}", wav.display());
    let heard = call_with_media(daemon.sip, "+14155550100", &tool, 4000, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_tone(&wav, 600.0, "8000");
    assert_eq!(daemon.record()["sip_code"], 200);
    // Another name than the certificate's, and an authority that nobody knows: the agent is not there.
    let stranger = Authority::new("stranger");
    for (host, believed) in [("127.0.0.1", &authority), ("localhost", &stranger)] {
        let mut daemon =
            Setup::new(&tables(&url(host))).environment("SSL_CERT_FILE", &believed.path("ca.pem")).start();
        assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1));
        let record = daemon.record();
        assert_eq!(record["sip_code"], 480, "{record}");
        assert!(record["reason"].as_str().is_some_and(|why| why.contains("certificate")), "{record}");
    }
}
