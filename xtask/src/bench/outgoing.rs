//! Calls out: placed over the HTTP API, answered by the kit's UAS, hung up after a second.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::daemon::{self, API, Server};
use super::kit::Kit;

/// Where the kit's UAS answers.
const CARRIER: &str = "127.0.0.1:15095";
/// Calls a second.
const RATE: u32 = 200;
/// How long a call lasts.
const HOLD: Duration = Duration::from_secs(1);

/// CPU of the daemon for one call, in µs.
pub(super) fn cost(kit: &Kit, binary: &Path, folder: &Path, seconds: u32) -> anyhow::Result<f64> {
    let carrier = Server::start("0", &kit.program("sipload"), &["uas", "--local", CARRIER])?;
    let daemon = daemon::start_calling(binary, folder, CARRIER)?;
    let mut api = Api::connect()?;
    // Caches and pools are warm before the count begins.
    place(&mut api, RATE)?;
    let before = daemon.cpu()?;
    let calls = RATE * seconds;
    place(&mut api, calls)?;
    let spent = daemon.cpu()? - before;
    drop(carrier);
    Ok(spent.as_secs_f64() * 1e6 / f64::from(calls))
}

/// Places so many calls, evenly, and ends each when its time is over.
fn place(api: &mut Api, calls: u32) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut live: VecDeque<(Instant, String)> = VecDeque::new();
    let body = json!({"from": "+14155550100", "to": "+14155550123"}).to_string();
    for call in 0..calls {
        let due = begin + Duration::from_secs(1) * call / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let answer = api.ask("POST", "/v1/calls", &body)?;
        let id = answer["id"].as_str().or_else(|| answer["call_id"].as_str());
        let id = id.with_context(|| format!("no call was placed: {answer}"))?;
        live.push_back((Instant::now() + HOLD, id.to_owned()));
        end(api, &mut live, Instant::now())?;
    }
    end(api, &mut live, Instant::now() + HOLD)
}

/// Hangs up what was to end by then.
fn end(api: &mut Api, live: &mut VecDeque<(Instant, String)>, by: Instant) -> anyhow::Result<()> {
    while let Some((at, id)) = live.pop_front_if(|(at, _)| *at <= by) {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        api.ask("DELETE", &format!("/v1/calls/{id}"), "")?;
    }
    Ok(())
}

/// A connection to the daemon's HTTP API that is used again and again.
pub(super) struct Api(BufReader<TcpStream>);

impl Api {
    pub(super) fn connect() -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", API))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// A request and its answer, which must be a success.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length) = (String::new(), 0);
        self.0.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            ensure!(self.0.read_line(&mut line)? > 0, "the API closed the connection");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        let accepted = status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
        ensure!(accepted, "{method} {path}: {} {}", status.trim_end(), String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }
}
