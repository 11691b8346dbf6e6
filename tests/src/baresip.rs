//! baresip as a telephone: it says a tone, presses keys and records what it hears.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::daemon::{free_port, peer_files, poll};
use crate::peers::Process;

/// What the telephone says, in hertz.
const VOICE: f64 = 1000.0;

/// A configured telephone.
pub struct Baresip {
    home: PathBuf,
    control: u16,
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
        Self::made("PCMU", &format!(";mediaenc={kind}"), folder, more)
    }

    /// The same with another codec than PCMU.
    #[must_use]
    pub fn speaking(codec: &str, folder: &Path, more: &str) -> Self {
        Self::made(codec, "", folder, more)
    }

    fn made(codec: &str, account: &str, folder: &Path, more: &str) -> Self {
        let codec = match codec {
            "G722" => "G722/16000/1".to_owned(),
            "opus" => "opus/48000/2".to_owned(),
            narrow => format!("{narrow}/8000/1"),
        };
        let home = folder.join("baresip");
        let source = folder.join("voice.wav");
        wav(&source, VOICE, 30);
        let (sip, control, rtp) = (free_port(), free_port(), free_port());
        let made = Command::new("bash")
            .arg(peer_files().join("baresip/mk.sh"))
            .args([home.to_str().expect("UTF-8"), &sip.to_string(), &control.to_string()])
            .args([source.to_str().expect("UTF-8"), account, &format!("{rtp}-{}", rtp + 3)])
            .env("CODEC", codec)
            .status();
        assert!(made.is_ok_and(|status| status.success()));
        let mut config =
            std::fs::File::options().append(true).open(home.join("config")).expect("mk.sh wrote it");
        config.write_all(more.as_bytes()).expect("written");
        Self { home, control }
    }

    /// Calls, presses keys after a second, hangs up; the voice must come back.
    pub fn call_and_hear_itself(&self, target: &str, keys: &str) {
        let _ = std::fs::remove_dir_all(self.home.join("rec"));
        std::fs::create_dir_all(self.home.join("rec")).expect("a folder");
        let phone = Command::new("baresip")
            .args(["-4", "-f", self.home.to_str().expect("UTF-8"), "-t", "20"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("baresip is installed by `cargo xtask test`");
        let _phone = Process(phone);
        let driven = Command::new("python3")
            .arg(peer_files().join("baresip/ctl.py"))
            .args([&self.control.to_string(), &format!("dial {target}"), "wait:CALL_ESTABLISHED", "@1"])
            .args([&format!("sndcode {keys}"), "@1.5", "hangup", "wait:CALL_CLOSED"])
            .output()
            .expect("python3");
        let said = String::from_utf8_lossy(&driven.stdout);
        assert!(driven.status.success(), "{said}{}", String::from_utf8_lossy(&driven.stderr));
        let check = Command::new("python3")
            .arg(peer_files().join("wavcheck.py"))
            .arg(recording(&self.home.join("rec")))
            .arg(VOICE.to_string())
            .output()
            .expect("python3");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
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
