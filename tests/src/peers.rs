//! Peers as processes.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::daemon::{free_port, peer_files, poll};
use crate::http;

/// A SIPp scenario against a port, as a caller.
pub struct Sipp {
    scenario: &'static str,
    port: u16,
    more: Vec<String>,
}

impl Sipp {
    /// A scenario of `tests/peers/sipp` against that port, calling that number.
    #[must_use]
    pub fn new(scenario: &'static str, port: u16, number: &str) -> Self {
        Self { scenario, port, more: vec!["-s".to_owned(), number.to_owned()] }
    }

    /// More arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Runs it; panics with what it printed where a call failed.
    pub fn run(self) {
        let scenario = self.scenario;
        let output = self.output();
        assert!(
            output.status.success(),
            "sipp {scenario} ended with {:?}\n{}\n{}",
            output.status.code(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }

    /// Runs it and gives its exit code.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        self.output().status.code()
    }

    fn output(self) -> Output {
        let own = free_port().to_string();
        // SIPp takes this port and the second after it for media.
        let media = free_port().to_string();
        let mut command = Command::new("sipp");
        command
            .arg(format!("127.0.0.1:{}", self.port))
            .args(["-sf", &format!("{}.xml", self.scenario), "-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-p", &own, "-mp", &media, "-nostdin", "-skip_rlimit", "-timeout_error"])
            .args(&self.more)
            .current_dir(peer_files().join("sipp"))
            .stdin(Stdio::null());
        if !self.more.iter().any(|argument| argument == "-m") {
            command.args(["-m", "1"]);
        }
        if !self.more.iter().any(|argument| argument == "-timeout") {
            command.args(["-timeout", "20s"]);
        }
        command.output().expect("sipp is installed by `cargo xtask test`")
    }
}

/// The media end of a SIPp call: runs `uac_rtptool` with `rtp_tool.py` and gives what it heard.
pub fn call_with_media(port: u16, number: &str, tool: &str, milliseconds: u32, more: &[&str]) -> Value {
    let result = std::env::temp_dir().join(format!("rtp-{}-{}.json", std::process::id(), free_port()));
    let tool = format!("{tool} --json {}", result.display());
    let media = free_port().to_string();
    let duration = milliseconds.to_string();
    Sipp::new("uac_rtptool", port, number)
        .with(&["-key", "mport", &media, "-key", "tool", &tool, "-d", &duration])
        .with(more)
        .run();
    let heard =
        poll("what rtp_tool heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    let _ = std::fs::remove_file(&result);
    heard
}

/// A process that is killed when dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Pipecat bot.
pub struct Bot {
    _process: Process,
    /// Its port.
    pub port: u16,
}

impl Bot {
    /// Starts the bot with more arguments and waits until it answers.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let python = project().join(".tools/venv/bin/python");
        let child = Command::new(python)
            .arg(peer_files().join("pipecat/pipecat_echo_bot.py"))
            .args(["--port", &port.to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Pipecat is installed by `cargo xtask test`");
        let process = Process(child);
        poll("the bot", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, port }
    }

    /// What the bot heard, a record a call.
    #[must_use]
    pub fn stats(&self) -> Value {
        let (_, body) = http::get(self.port, "/stats");
        serde_json::from_str(&body).expect("JSON")
    }
}

/// The project's top folder.
#[must_use]
pub fn project() -> PathBuf {
    peer_files().join("../..")
}
