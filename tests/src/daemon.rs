//! The daemon under test, in a folder and on ports of its own.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything that the daemon should log.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a daemon is started: its tables, and what its node's file says beside the usual.
pub struct Setup {
    tables: String,
    listeners: String,
    sip: String,
    media: String,
    api: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Setup {
    /// With these tables.
    #[must_use]
    pub fn new(tables: &str) -> Self {
        let arguments = ["--log", "json", "--log-numbers"].map(str::to_owned).to_vec();
        let [listeners, sip, media, api] = [const { String::new() }; 4];
        Self { tables: tables.to_owned(), listeners, sip, media, api, environment: Vec::new(), arguments }
    }

    /// With one more listener, such as `tls:127.0.0.1:5061`.
    #[must_use]
    pub fn listener(mut self, listener: &str) -> Self {
        self.listeners = format!("{}, \"{listener}\"", self.listeners);
        self
    }

    /// With more lines for `[sip]`.
    #[must_use]
    pub fn sip(mut self, lines: &str) -> Self {
        self.sip += &format!("{lines}\n");
        self
    }

    /// With more lines for `[media]`; `ports` and `listen_address` replace the usual ones.
    #[must_use]
    pub fn media(mut self, lines: &str) -> Self {
        self.media += &format!("{lines}\n");
        self
    }

    /// With more lines for `[api]`.
    #[must_use]
    pub fn api(mut self, lines: &str) -> Self {
        self.api += &format!("{lines}\n");
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As an operator starts it: the log as text, with numbers masked.
    #[must_use]
    pub fn as_shipped(mut self) -> Self {
        self.arguments.clear();
        self
    }

    /// Starts it and waits until it listens.
    #[must_use]
    pub fn start(self) -> Daemon {
        let (sip, api) = (free_port(), free_port());
        let folder = std::env::temp_dir().join(format!("trunkline-test-{}-{sip}", std::process::id()));
        std::fs::create_dir_all(folder.join("routes")).expect("a folder for the test");
        std::fs::write(folder.join("trunkline.toml"), self.node(sip, api)).expect("written");
        std::fs::write(folder.join("routes/table.toml"), &self.tables).expect("written");
        let mut child = Command::new(binary())
            .args(["serve", "--drain-seconds", "3", "--config"])
            .arg(folder.join("trunkline.toml"))
            .args(&self.arguments)
            .envs(self.environment)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let log = follow(&mut child);
        let mut daemon = Daemon { child, log, sip, api, folder };
        daemon.wait_for("listening for the API");
        daemon
    }

    fn node(&self, sip: u16, api: u16) -> String {
        let (more_sip, mut media) = (&self.sip, self.media.clone());
        if !media.contains("ports") {
            let (low, high) = media_range();
            media += &format!("ports = [{low}, {high}]\n");
        }
        if !media.contains("listen_address") {
            media += "listen_address = \"127.0.0.1\"\n";
        }
        format!(
            "[node]\nname = \"test\"\n[sip]\nlisten = [\"udp:127.0.0.1:{sip}\", \"tcp:127.0.0.1:{sip}\"{}]\n{more_sip}\n[media]\n{media}\n[api]\nlisten = \"127.0.0.1:{api}\"\n{}",
            self.listeners, self.api,
        )
    }
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    log: Receiver<Value>,
    /// SIP port, UDP and TCP, on 127.0.0.1.
    pub sip: u16,
    /// API port.
    pub api: u16,
    /// Its folder.
    pub folder: PathBuf,
}

impl Daemon {
    /// Starts it with these tables.
    #[must_use]
    pub fn start(tables: &str) -> Self {
        Setup::new(tables).start()
    }

    /// The next line of the log.
    pub fn line(&mut self) -> Value {
        self.log.recv_timeout(PATIENCE).expect("the daemon logs on")
    }

    /// Waits for a line of the log that holds `text` in its message and gives it.
    pub fn wait_for(&mut self, text: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line =
                self.log.recv_timeout(left).unwrap_or_else(|_| panic!("the daemon never logged {text:?}"));
            if message(&line).contains(text) {
                return line;
            }
        }
    }

    /// Waits for a call to end and gives its record.
    pub fn record(&mut self) -> Value {
        let ended = self.wait_for("call ended");
        let id = ended["call"].as_str().expect("a call has an id").to_owned();
        let file = self.folder.join("data/calls.jsonl");
        // The log comes before the disk.
        poll("the record", || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let line = text.lines().find(|line| line.contains(&id))?;
            serde_json::from_str(line).ok()
        })
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits for its end and gives its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let child = &mut self.child;
        poll("the daemon's end", || child.try_wait().ok().flatten()).code()
    }

    /// Resident memory in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).map_or(0, Iterator::count)
    }

    /// Open descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Writes the table file.
    pub fn write_tables(&self, tables: &str) {
        std::fs::write(self.folder.join("routes/table.toml"), tables).expect("written");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The daemon's program, built beside the tests.
#[must_use]
pub fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    while path.file_name().is_some_and(|name| name != "deps") && path.pop() {}
    let binary = path.parent().map(|folder| folder.join("trunkline")).unwrap_or_default();
    assert!(binary.exists(), "{} is not built; run `cargo xtask test`", binary.display());
    binary
}

/// The folder of the peers' files.
#[must_use]
pub fn peer_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Ports below those that the system hands out by itself, so that no other socket takes them between
/// our look and their use.
static NEXT_PORT: AtomicU16 = AtomicU16::new(11_000);
/// Where the media ranges of daemons begin.
static NEXT_RANGE: AtomicU16 = AtomicU16::new(20_000);
/// Ports of one daemon's media.
const RANGE: u16 = 400;

/// An even port that is free for UDP and TCP, and so are the three behind it.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let port = NEXT_PORT.fetch_add(4, Ordering::Relaxed);
        assert!(port < 19_900, "the ports of this test process are used up");
        let free = |port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        };
        if (port..port + 4).all(free) {
            return port;
        }
    }
}

/// A media range of a daemon's own.
fn media_range() -> (u16, u16) {
    let low = NEXT_RANGE.fetch_add(RANGE, Ordering::Relaxed);
    assert!(low < 32_000, "the media ranges of this test process are used up");
    (low, low + RANGE - 1)
}

/// Looks again and again until there is something: the only way to wait for another program's files
/// and sockets, and with that the one exception to "no sleeps in tests".
pub fn poll<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    poll_for(PATIENCE, what, look)
}

/// The same for something that takes longer by its nature.
pub fn poll_for<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    let (_keep, pause) = channel::<()>();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        // Nothing ever comes: this is the pause between two looks.
        let _ = pause.recv_timeout(Duration::from_millis(10));
    }
}

/// The text of a line of the log, whichever form it has.
fn message(line: &Value) -> &str {
    line.as_str().or_else(|| line["message"].as_str()).unwrap_or("")
}

fn follow(child: &mut Child) -> Receiver<Value> {
    let stderr = child.stderr.take().expect("piped");
    let (sender, log) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    log
}
