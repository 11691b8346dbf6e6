//! baresip as a telephone: it says a tone, presses keys and records what it hears.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::daemon::{free_port, peer_files, poll};
use crate::peers::Process;

/// What the telephone says, in hertz.
const VOICE: f64 = 1000.0;

/// A configured telephone.
pub struct Baresip {
    home: PathBuf,
    control: u16,
    /// What it says, in hertz.
    voice: f64,
    /// Its SIP port, UDP and TCP; the next one is for TLS, where it has a certificate.
    pub sip: u16,
}

impl Baresip {
    /// A telephone in a folder, with more lines of configuration.
    #[must_use]
    pub fn new(folder: &Path, more: &str) -> Self {
        Self::speaking("PCMU", folder, more)
    }

    /// The same with SRTP: `srtp` in a plain profile, `srtp-mandf` in the encrypted one.
    #[must_use]
    pub fn encrypting(kind: &str, folder: &Path, more: &str) -> Self {
        Self::made("PCMU", VOICE, &format!(";mediaenc={kind}"), &folder.join("baresip"), more)
    }

    /// The same with another codec than PCMU.
    #[must_use]
    pub fn speaking(codec: &str, folder: &Path, more: &str) -> Self {
        Self::made(codec, VOICE, "", &folder.join("baresip"), more)
    }

    /// One that takes calls to a name, and has a voice of its own; `account` are parameters of its account.
    #[must_use]
    pub fn answering(name: &str, codec: &str, voice: f64, account: &str, folder: &Path, more: &str) -> Self {
        let account = format!(";answermode=auto{account}");
        Self::named(name, codec, voice, &account, &folder.join("answering"), more)
    }

    fn made(codec: &str, voice: f64, account: &str, home: &Path, more: &str) -> Self {
        Self::named("tester", codec, voice, account, home, more)
    }

    fn named(name: &str, codec: &str, voice: f64, account: &str, home: &Path, more: &str) -> Self {
        let codec = match codec {
            "G722" => "G722/16000/1".to_owned(),
            "opus" => "opus/48000/2".to_owned(),
            narrow => format!("{narrow}/8000/1"),
        };
        std::fs::create_dir_all(home).expect("a folder");
        let source = home.join("voice.wav");
        wav(&source, voice, 30);
        let (sip, control, rtp) = (free_port(), free_port(), free_port());
        let made = Command::new("bash")
            .arg(peer_files().join("baresip/mk.sh"))
            .args([home.to_str().expect("UTF-8"), &sip.to_string(), &control.to_string()])
            .args([source.to_str().expect("UTF-8"), account, &format!("{rtp}-{}", rtp + 3)])
            .env("CODEC", codec)
            .env("WHO", name)
            .status();
        assert!(made.is_ok_and(|status| status.success()));
        let mut config =
            std::fs::File::options().append(true).open(home.join("config")).expect("mk.sh wrote it");
        config.write_all(more.as_bytes()).expect("written");
        Self { home: home.to_owned(), control, voice, sip }
    }

    /// Calls, presses keys after a second, hangs up; the voice must come back.
    pub fn call_and_hear_itself(&self, target: &str, keys: &str) {
        let _phone = self.start();
        self.drive(&Self::call(target, keys));
        self.heard(self.voice);
    }

    /// A call that presses keys after a second.
    #[must_use]
    pub fn call(target: &str, keys: &str) -> [String; 7] {
        [
            format!("dial {target}"),
            "wait:CALL_ESTABLISHED".to_owned(),
            "@1".to_owned(),
            format!("sndcode {keys}"),
            "@1.5".to_owned(),
            "hangup".to_owned(),
            "wait:CALL_CLOSED".to_owned(),
        ]
    }

    /// Switches it on, and waits until it can be called.
    #[must_use]
    pub fn start(&self) -> Process {
        let _ = std::fs::remove_dir_all(self.home.join("rec"));
        std::fs::create_dir_all(self.home.join("rec")).expect("a folder");
        let phone = Command::new("baresip")
            .args(["-4", "-f", self.home.to_str().expect("UTF-8"), "-t", "30"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("baresip is installed by `cargo xtask test`");
        let phone = Process(phone);
        poll("baresip", || TcpStream::connect(("127.0.0.1", self.sip)).ok());
        phone
    }

    /// Goes through steps of `ctl.py`; gives the telephone's events.
    pub fn drive(&self, steps: &[impl AsRef<OsStr>]) -> Vec<Value> {
        self.begin(steps).events()
    }

    /// Begins with the steps; of what happens from now on nothing is missed.
    #[must_use]
    pub fn begin(&self, steps: &[impl AsRef<OsStr>]) -> Driver {
        let mut child = Command::new("python3")
            .arg(peer_files().join("baresip/ctl.py"))
            .arg(self.control.to_string())
            .args(steps)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(said.next().is_some_and(|line| line.is_ok()), "it is connected");
        Driver { process: Process(child), said }
    }

    /// What it heard must have been that tone.
    pub fn heard(&self, hertz: f64) {
        let check = Command::new("python3")
            .arg(peer_files().join("wavcheck.py"))
            .arg(recording(&self.home.join("rec")))
            .arg(hertz.to_string())
            .output()
            .expect("python3");
        assert!(check.status.success(), "{hertz} Hz: {}", String::from_utf8_lossy(&check.stdout));
    }
}

/// A `ctl.py` at work.
pub struct Driver {
    process: Process,
    said: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    /// Waits until it has gone through its steps; the telephone's events.
    pub fn events(mut self) -> Vec<Value> {
        let said: Vec<String> = self.said.by_ref().map_while(Result::ok).collect();
        let status = self.process.0.wait().expect("it ends");
        assert!(status.success(), "{}", said.join("\n"));
        said.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The keys that the far end pressed, among a telephone's events.
#[must_use]
pub fn keys(events: &[Value]) -> String {
    let pressed = events.iter().filter(|event| event["type"] == "CALL_DTMF_START");
    pressed.filter_map(|event| event["param"].as_str()).collect()
}

/// A WAV file of a tone, 8000 Hz, mono, 16 bit.
pub fn wav(path: &Path, hertz: f64, seconds: u32) {
    tones(path, &[(hertz, seconds * 1000)]);
}

/// The same of several tones, one behind the other, with their milliseconds.
pub fn tones(path: &Path, tones: &[(f64, u32)]) {
    let samples: u32 = tones.iter().map(|(_, milliseconds)| 8 * milliseconds).sum();
    let mut bytes = Vec::from(*b"RIFF");
    bytes.extend((36 + samples * 2).to_le_bytes());
    bytes.extend(*b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    for field in [1u16, 1] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(16_000u32.to_le_bytes());
    for field in [2u16, 16] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(*b"data");
    bytes.extend((samples * 2).to_le_bytes());
    for (hertz, milliseconds) in tones {
        for n in 0..8 * milliseconds {
            let sample = 8000.0 * (std::f64::consts::TAU * hertz * f64::from(n) / 8000.0).sin();
            bytes.extend((sample as i16).to_le_bytes());
        }
    }
    std::fs::write(path, bytes).expect("written");
}

/// The only file in `folder` whose name ends so.
fn recording(folder: &Path) -> std::path::PathBuf {
    poll("baresip's recording", || {
        let entries = std::fs::read_dir(folder).ok()?;
        entries
            .filter_map(Result::ok)
            .map(|e| e.path())
            .find(|path| path.to_string_lossy().ends_with("-dec.wav"))
    })
}
