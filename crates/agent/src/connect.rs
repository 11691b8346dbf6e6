//! Bringing an agent's socket up, on the async edge: TCP, TLS, the WebSocket handshake (RFC 6455
//! §4.1). The handshake is spoken here so that bytes which the agent sends right behind its answer
//! are not lost when the socket moves to a media thread.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rustls::pki_types::ServerName;
use sha1::Sha1;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use crate::Link;
use crate::l16::SUBPROTOCOLS;

/// Longest answer to the handshake.
const MAX_HANDSHAKE: usize = 16 * 1024;

/// Why an agent cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be read.
    #[error("{0:?} is no ws:// or wss:// address")]
    Address(String),
    /// TCP or TLS failed.
    #[error("cannot connect: {0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The agent refused the WebSocket.
    #[error("the agent answered HTTP {0}")]
    Refused(u16),
    /// The answer is no WebSocket handshake.
    #[error("the agent did not speak WebSocket")]
    Protocol,
}

/// What the handshake says beside the address.
#[derive(Debug, Clone, Copy)]
pub enum Greeting<'a> {
    /// Signed the way Twilio signs it where there is a secret, so that stock validators pass.
    Twilio {
        /// The secret.
        secret: Option<&'a str>,
    },
    /// The subprotocols of linear audio; where there is a secret, it is the password of HTTP Basic.
    L16 {
        /// The user: the agent's name.
        user: &'a str,
        /// The secret.
        secret: Option<&'a str>,
    },
}

impl Greeting<'_> {
    /// Its fields.
    fn fields(self, url: &str) -> String {
        match self {
            Self::Twilio { secret } => {
                let signed = secret.map(|secret| format!("X-Twilio-Signature: {}\r\n", sign(url, secret)));
                signed.unwrap_or_default()
            }
            Self::L16 { user, secret } => {
                let offered = format!("Sec-WebSocket-Protocol: {}\r\n", SUBPROTOCOLS.join(", "));
                let basic = |secret: &str| {
                    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{secret}")))
                };
                offered + &secret.map(basic).unwrap_or_default()
            }
        }
    }
}

/// Opens agents' sockets.
#[derive(Clone)]
pub struct Dialer {
    tls: Arc<rustls::ClientConfig>,
}

/// A taken-apart address.
struct Address {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Dialer {
    /// A dialer that believes those authorities.
    ///
    /// # Errors
    /// Where the TLS provider offers neither TLS 1.2 nor 1.3.
    pub fn new(roots: rustls::RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config) })
    }

    /// Opens one address within `timeout`.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn dial(
        &self,
        url: &str,
        greeting: Greeting<'_>,
        timeout: Duration,
    ) -> Result<Link, ConnectError> {
        match tokio::time::timeout(timeout, self.dial_unbounded(url, greeting)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectError::Timeout(timeout)),
        }
    }

    async fn dial_unbounded(&self, url: &str, greeting: Greeting<'_>) -> Result<Link, ConnectError> {
        let address = parse(url).ok_or_else(|| ConnectError::Address(url.to_owned()))?;
        let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
        tcp.set_nodelay(true)?;
        let fields = greeting.fields(url);
        if !address.tls {
            let mut tcp = tcp;
            let unread = handshake(&mut tcp, &address, &fields).await?;
            return Ok(Link::plain(tcp.into_std()?, unread, Role::Client));
        }
        let name =
            ServerName::try_from(address.host.clone()).map_err(|_| ConnectError::Address(url.to_owned()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
        let mut stream = connector.connect(name, tcp).await?;
        let unread = handshake(&mut stream, &address, &fields).await?;
        let (tcp, connection) = stream.into_inner();
        Ok(Link::tls(tcp.into_std()?, connection, unread))
    }
}

/// A socket that an agent opened itself, its handshake already answered by the API.
///
/// # Errors
/// Where the socket cannot leave the async edge.
pub fn accept_dial_in(stream: TcpStream, unread: Vec<u8>) -> std::io::Result<Link> {
    stream.set_nodelay(true)?;
    Ok(Link::plain(stream.into_std()?, unread, Role::Server))
}

fn parse(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let tls = match scheme {
        "ws" => false,
        "wss" => true,
        _ => return None,
    };
    let cut = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(cut);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let usual = if tls { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, usual),
    };
    let host = host.trim_matches(['[', ']']);
    let clean = |text: &str| !text.bytes().any(|b| b <= b' ' || b == 0x7f);
    (!host.is_empty() && clean(host) && clean(&path)).then(|| Address {
        tls,
        host: host.to_owned(),
        port,
        path,
    })
}

/// Twilio's signature: base64 of HMAC-SHA1 over the URL.
fn sign(url: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
    mac.update(url.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Speaks the handshake; gives what the agent sent behind it.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    address: &Address,
    fields: &str,
) -> Result<Vec<u8>, ConnectError> {
    let key = generate_key();
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: trunkline\r\n{fields}\r\n",
        address.path, address.port,
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 || answer.len() > MAX_HANDSHAKE {
            return Err(ConnectError::Protocol);
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&answer) {
            Ok(httparse::Status::Complete(length)) => {
                check_answer(&response, &key)?;
                return Ok(answer.split_off(length));
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Err(ConnectError::Protocol),
        }
    }
}

fn check_answer(response: &httparse::Response<'_, '_>, key: &str) -> Result<(), ConnectError> {
    let code = response.code.unwrap_or(0);
    if code != 101 {
        return Err(ConnectError::Refused(code));
    }
    let expected = derive_accept_key(key.as_bytes());
    let accepted = response.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("sec-websocket-accept") && header.value == expected.as_bytes()
    });
    if accepted { Ok(()) } else { Err(ConnectError::Protocol) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let address = parse("wss://bot.example.com/ws?mode=echo").expect("address");
        assert_eq!(
            (address.tls, address.host.as_str(), address.port, address.path.as_str()),
            (true, "bot.example.com", 443, "/ws?mode=echo")
        );
        let address = parse("ws://[::1]:7860").expect("address");
        assert_eq!((address.host.as_str(), address.port, address.path.as_str()), ("::1", 7860, "/"));
        assert!(parse("http://x/").is_none() && parse("ws://x/a b").is_none() && parse("ws:///x").is_none());
    }

    #[test]
    fn linear_audio_offers_both_of_its_names_and_shows_its_secret() {
        let fields = Greeting::L16 { user: "bot", secret: Some("s3cret") }.fields("ws://x/");
        assert_eq!(
            fields,
            // As `printf bot:s3cret | base64` has it.
            "Sec-WebSocket-Protocol: audio.jambonz.org, audio.drachtio.org\r\nAuthorization: Basic Ym90OnMzY3JldA==\r\n"
        );
        assert!(!Greeting::L16 { user: "bot", secret: None }.fields("ws://x/").contains("Authorization"));
        assert_eq!(Greeting::Twilio { secret: None }.fields("ws://x/"), "");
    }

    #[test]
    fn the_signature_is_twilios() {
        // Checked against `openssl dgst -sha1 -hmac 12345 -binary | base64`.
        assert_eq!(sign("wss://mycompany.com/stream", "12345"), "DlELQE5iuG0XFAEQgMbv2UNcQU4=");
    }
}
