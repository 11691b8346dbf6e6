//! An attended transfer between two telephones that others wrote: Linphone is the caller, who is referred to the agent's
//! consultation, and who is consulted; its INVITE with Replaces goes from the one to the other past the gateway.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use trunkline_tests::baresip::wav;
use trunkline_tests::daemon::{PATIENCE, free_port, peer_files, poll};
use trunkline_tests::{Daemon, http};

/// A telephone that is driven by commands, and prints what happens.
struct Phone {
    child: Child,
    said: Receiver<String>,
    port: u16,
}

impl Phone {
    fn start(name: &str, folder: &Path, answers: bool) -> Self {
        let home = folder.join(name);
        std::fs::create_dir_all(home.join(".local/share/linphone")).expect("a folder");
        let (port, media) = (free_port(), free_port());
        let settings = format!(
            "[sip]\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port=0\nguess_hostname=0\nbind_address=127.0.0.1\ncontact=sip:{name}@127.0.0.1\n[sound]\nplayback_dev_id=\ncapture_dev_id=\nringer_dev_id=\n[rtp]\naudio_rtp_port={media}\n"
        );
        std::fs::write(home.join("rc"), settings).expect("written");
        // To a pipe it would say a line once it has pages of them.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "linphonec"])
            .args(answers.then_some("-a"))
            .arg("-c")
            .arg(home.join("rc"))
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("linphonec is installed by `cargo xtask test`");
        let stdout = child.stdout.take().expect("piped");
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut phone = Self { child, said, port };
        phone.ask("ipv6 disable");
        phone.ask("soundcard use files");
        phone.wait_for(&["Using wav files"]);
        phone
    }

    fn ask(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{command}").expect("it lives");
    }

    /// Reads until a line has all of these.
    fn wait_for(&self, texts: &[&str]) {
        let mut all = String::new();
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{texts:?} never came:\n{all}"));
            if texts.iter().all(|text| line.contains(text)) {
                return;
            }
            all += &line;
            all.push('\n');
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// They name an address of the machine's in their descriptions, whichever that is.
fn tables(consulted: u16) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.0/8"]
media_addresses = ["0.0.0.0/0"]
address = "sip:127.0.0.1:{consulted};transport=udp"
replaces = true
[[agent]]
name = "tone"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "tone"
allowed_destinations = ["+1415*"]
"#
    )
}

#[test]
fn one_telephone_takes_the_consultation_with_another_over() {
    let folder = std::env::temp_dir().join(format!("trunkline-attended-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut consulted = Phone::start("+14155550177", &folder, true);
    let mut caller = Phone::start("caller", &folder, false);
    let mut daemon = Daemon::start(&tables(consulted.port));
    caller.ask(&format!("call sip:+14155550100@127.0.0.1:{}", daemon.sip));
    caller.wait_for(&["Media streams established", "call 1"]);
    let id = poll("the call", || {
        let (_, body) = http::get(daemon.api, "/v1/calls?status=active");
        serde_json::from_str::<Value>(&body).ok()?["calls"][0]["id"].as_str().map(str::to_owned)
    });
    let ask = |what: &str, body: Value| {
        let path = format!("/v1/calls/{id}/{what}");
        let fields = "Content-Type: application/json\r\n";
        assert_eq!(http::request(daemon.api, "POST", &path, fields, &body.to_string()).0, 202, "{what}");
    };
    ask("transfer", json!({"to": "+14155550177", "mode": "attended"}));
    consulted.wait_for(&["Media streams established", "call 1"]);
    ask("transfer/complete", json!({}));
    caller.wait_for(&["Media streams established", "call 2"]);
    consulted.wait_for(&["Media streams established", "call 2"]);
    let record = daemon.record();
    assert_eq!(
        (&record["transferred_to"], &record["transfer"]["ok"], &record["reason"]),
        (&"+14155550177".into(), &true.into(), &"transferred".into()),
        "{record}"
    );
    // Without the gateway now, one hears the other.
    let (voice, heard) = (folder.join("voice.wav"), folder.join("heard.wav"));
    wav(&voice, 1000.0, 10);
    consulted.ask(&format!("record {}", heard.display()));
    caller.ask(&format!("play {}", voice.display()));
    // Three seconds at 48 kHz; the file is whole once the call is over.
    poll("the caller's voice", || (std::fs::metadata(&heard).ok()?.len() > 288_000).then_some(()));
    caller.ask("terminate");
    consulted.wait_for(&["Call 2", "ended"]);
    let check =
        Command::new("python3").arg(peer_files().join("wavcheck.py")).arg(&heard).arg("1000").output();
    let check = check.expect("python3");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let _ = std::fs::remove_dir_all(folder);
}
