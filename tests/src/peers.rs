//! Peers as processes.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{free_port, peer_files, poll, poll_for};
use crate::http;

/// A SIPp scenario against a port, as a caller.
pub struct Sipp {
    scenario: &'static str,
    port: u16,
    more: Vec<String>,
    ipv6: bool,
}

impl Sipp {
    /// A scenario of `tests/peers/sipp` against that port, calling that number.
    #[must_use]
    pub fn new(scenario: &'static str, port: u16, number: &str) -> Self {
        Self { scenario, port, more: vec!["-s".to_owned(), number.to_owned()], ipv6: false }
    }

    /// Over IPv6.
    #[must_use]
    pub fn over_ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
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
        let (target, own_address) = if self.ipv6 { ("[::1]", "::1") } else { ("127.0.0.1", "127.0.0.1") };
        command
            .arg(format!("{target}:{}", self.port))
            .args(["-sf", &format!("{}.xml", self.scenario), "-i", own_address, "-mi", own_address])
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

/// A SIPp scenario that waits for one call.
pub struct Callee {
    process: Process,
    /// Its port.
    pub port: u16,
}

impl Callee {
    /// A scenario of `tests/peers/sipp`, over `u1` or `t1`, with more arguments.
    #[must_use]
    pub fn new(scenario: &str, transport: &str, more: &[&str]) -> Self {
        let (port, media) = (free_port(), free_port().to_string());
        let child = Command::new("sipp")
            .args(["-sf", &format!("{scenario}.xml"), "-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1"])
            .args(["-p", &port.to_string(), "-mp", &media, "-t", transport])
            .args(["-nostdin", "-skip_rlimit", "-timeout", "80s", "-timeout_error"])
            .args(more)
            .current_dir(peer_files().join("sipp"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp is installed by `cargo xtask test`");
        let callee = Self { process: Process(child), port };
        let table = if transport == "t1" { "/proc/net/tcp" } else { "/proc/net/udp" };
        let place = format!("0100007F:{port:04X}");
        poll("the callee", || {
            std::fs::read_to_string(table).is_ok_and(|sockets| sockets.contains(&place)).then_some(())
        });
        callee
    }

    /// Waits for its end; true where its scenario went through.
    pub fn went_through(&mut self) -> bool {
        let child = &mut self.process.0;
        poll("the callee's end", || child.try_wait().ok().flatten()).success()
    }

    /// The same for a scenario that takes up to that long.
    pub fn went_through_in(&mut self, time: Duration) -> bool {
        let child = &mut self.process.0;
        poll_for(time, "the callee's end", || child.try_wait().ok().flatten()).success()
    }
}

/// The media end of a SIPp call: runs `uac_rtptool` with `rtp_tool.py` and gives what it heard.
pub fn call_with_media(port: u16, number: &str, tool: &str, milliseconds: u32, more: &[&str]) -> Value {
    hear(Sipp::new("uac_rtptool", port, number), tool, milliseconds, more)
}

/// The same over IPv6.
pub fn call_over_ipv6(port: u16, number: &str, tool: &str, milliseconds: u32, more: &[&str]) -> Value {
    let sipp = Sipp::new("uac_rtptool", port, number).over_ipv6();
    hear(sipp, &format!("--bind ::1 {tool}"), milliseconds, more)
}

/// The same for a call whose description comes late, with the ACK: `uac_late_media`.
pub fn call_with_late_media(port: u16, number: &str, tool: &str, milliseconds: u32, more: &[&str]) -> Value {
    hear(Sipp::new("uac_late_media", port, number), tool, milliseconds, more)
}

fn hear(sipp: Sipp, tool: &str, milliseconds: u32, more: &[&str]) -> Value {
    let result = std::env::temp_dir().join(format!("rtp-{}-{}.json", std::process::id(), free_port()));
    let tool = format!("{tool} --json {}", result.display());
    let media = free_port().to_string();
    let duration = milliseconds.to_string();
    sipp.with(&["-key", "mport", &media, "-key", "tool", &tool, "-d", &duration]).with(more).run();
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

/// An agent of linear audio, on the `websockets` library of the bots' Python.
pub struct LinearAgent {
    _process: Process,
    /// Its port; 0 where it dials in.
    pub port: u16,
    file: PathBuf,
}

impl LinearAgent {
    /// Starts one that listens.
    #[must_use]
    pub fn listen(arguments: &[&str]) -> Self {
        let port = free_port();
        let agent = Self::start(port, &[&["--port", &port.to_string()], arguments].concat());
        poll("the agent", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        agent
    }

    /// Starts one that dials in.
    #[must_use]
    pub fn dial_in(url: &str, secret: &str, arguments: &[&str]) -> Self {
        Self::start(0, &[&["--dial-in", url, "--secret", secret], arguments].concat())
    }

    fn start(port: u16, arguments: &[&str]) -> Self {
        let file = std::env::temp_dir().join(format!("l16-{}-{}.json", std::process::id(), free_port()));
        let child = Command::new(project().join(".tools/venv/bin/python"))
            .arg(peer_files().join("l16_agent.py"))
            .arg("--json")
            .arg(&file)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python's websockets are installed by `cargo xtask test`");
        Self { _process: Process(child), port, file }
    }

    /// What it saw of its calls so far, the first first.
    #[must_use]
    pub fn calls(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// What it saw of its first call that has the metadata, once that is over.
    #[must_use]
    pub fn over(&self) -> Value {
        let over = |call: &Value| !call["hertz"].is_null() || call["seconds"].is_number();
        poll("the agent's call", || {
            self.calls().into_iter().find(|call| over(call) && call["texts"][0]["callSid"].is_string())
        })
    }
}

impl Drop for LinearAgent {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// The project's top folder.
#[must_use]
pub fn project() -> PathBuf {
    peer_files().join("../..")
}
