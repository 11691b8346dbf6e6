//! HTTP as plain as the tests need it.

use std::io::{Read, Write};
use std::net::TcpStream;

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

/// GET.
#[must_use]
pub fn get(port: u16, path: &str) -> (u16, String) {
    request(port, "GET", path, "", "")
}
