//! HTTP as plain as the tests need it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use std::process::Command;

use crate::daemon::binary;

/// Sends a request and gives the status and the body.
#[must_use]
pub fn request(port: u16, method: &str, path: &str, fields: &str, body: &str) -> (u16, String) {
    let (status, _, body) = exchange(port, method, path, fields, body);
    (status, body)
}

/// The same with the head of the answer between the two.
#[must_use]
pub fn exchange(port: u16, method: &str, path: &str, fields: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the API listens");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}",
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (status, head.to_owned(), body.to_owned())
}

/// GET of something that is no text.
#[must_use]
pub fn exchange_bytes(port: u16, path: &str, fields: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the API listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head, answer[end + 4..].to_vec())
}

/// GET.
#[must_use]
pub fn get(port: u16, path: &str) -> (u16, String) {
    request(port, "GET", path, "", "")
}

/// The field that shows a fresh key of the API, and its entry, as `trunkline key` prints it.
#[must_use]
pub fn key(name: &str, scope: &str) -> (String, String) {
    let printed = Command::new(binary()).args(["key", "--name", name, "--scope", scope]).output();
    let printed = String::from_utf8(printed.expect("runs").stdout).expect("text");
    let (key, entry) = printed.split_once("\n\n").expect("a key, then its entry");
    assert!(!entry.contains(key), "the file does not hold the key");
    (format!("Authorization: Bearer {key}\r\n"), entry.to_owned())
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place.
    pub id: u64,
    /// What.
    pub kind: String,
    /// More on it.
    pub data: Value,
}

/// A reader of `GET /v1/events`.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// Begins to read.
    #[must_use]
    pub fn open(port: u16, fields: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the API listens");
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").expect("sent");
        stream.set_read_timeout(Some(crate::daemon::PATIENCE)).expect("a time-out");
        let mut reader = Self(BufReader::new(stream));
        // The stream's first line is there once the reader has its place.
        while !reader.line().is_some_and(|line| line.starts_with("retry: ")) {}
        reader
    }

    /// The next event.
    pub fn take(&mut self) -> Event {
        let (mut id, mut kind) = (0, String::new());
        loop {
            let line = self.line().expect("the stream goes on");
            match line.split_once(": ") {
                Some(("id", number)) => id = number.parse().expect("a number"),
                Some(("event", name)) => name.clone_into(&mut kind),
                Some(("data", text)) => {
                    return Event { id, kind, data: serde_json::from_str(text).expect("JSON") };
                }
                // Sizes of chunks, and empty lines.
                _ => {}
            }
        }
    }

    /// Reads to the end of the stream.
    pub fn ends(&mut self) -> bool {
        while self.line().is_some() {}
        true
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).expect("the stream is read");
        (length > 0).then(|| line.trim_end().to_owned())
    }
}
