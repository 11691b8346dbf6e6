//! Reading and printing a description, line by line.

use std::fmt;

/// Longest description read, in bytes.
const MAX_BYTES: usize = 32 * 1024;
/// Most m-lines read; an offer of more is refused.
const MAX_MEDIA: usize = 32;
/// Most attributes kept of the session and of each m-line.
const MAX_ATTRIBUTES: usize = 256;

/// An `a=` line. Keys are not printed for a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: String,
    /// What stands behind it, if there is one.
    pub value: Option<String>,
}

/// An m-line with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image`, …
    pub kind: String,
    /// Port; 0 where the line is refused.
    pub port: u16,
    /// `RTP/AVP`, `udptl`, …
    pub protocol: String,
    /// Formats as written.
    pub formats: Vec<String>,
    /// Address of its own c= line.
    pub connection: Option<String>,
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
}

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// `sess-id` of the o= line, as written.
    pub session_id: String,
    /// `sess-version` of the o= line, as written.
    pub session_version: String,
    /// Address of the session's c= line.
    pub connection: Option<String>,
    /// Session attributes.
    pub attributes: Vec<Attribute>,
    /// The m-lines in order.
    pub media: Vec<Media>,
}

/// Why a body is no description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It does not start with `v=0`.
    #[error("a description starts with v=0")]
    NoVersion,
    /// A line that is not `letter=value`.
    #[error("line {0} is not of the form letter=value")]
    BadLine(usize),
    /// An m-line without kind, port, protocol and formats, or with a port beyond 65535.
    #[error("line {0} is no m-line")]
    BadMedia(usize),
    /// Over the bounds on bytes or lines.
    #[error("the description is too large")]
    TooLarge,
    /// Not text.
    #[error("the description is not UTF-8")]
    NotText,
}

impl Description {
    /// Reads a body. Missing o=, s=, t= and c= lines, lines of unknown letters and lines that end in
    /// a bare line feed are tolerated; carriers send them all.
    ///
    /// # Errors
    /// See [`SdpError`].
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > MAX_BYTES {
            return Err(SdpError::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| SdpError::NotText)?;
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        match lines.next() {
            Some((_, line)) if line.trim_end() == "v=0" => {}
            _ => return Err(SdpError::NoVersion),
        }
        let mut description = Self::default();
        for (index, line) in lines {
            description.take(index + 1, line.trim_end())?;
        }
        Ok(description)
    }

    fn take(&mut self, number: usize, line: &str) -> Result<(), SdpError> {
        let (letter, value) = line.split_once('=').ok_or(SdpError::BadLine(number))?;
        if letter.len() != 1 {
            return Err(SdpError::BadLine(number));
        }
        match letter {
            "o" => {
                let mut words = value.split_ascii_whitespace().skip(1);
                self.session_id = words.next().unwrap_or("0").to_owned();
                self.session_version = words.next().unwrap_or("0").to_owned();
            }
            "c" => {
                let address = value.split_ascii_whitespace().nth(2).unwrap_or("");
                let address = Some(address.split('/').next().unwrap_or("").to_owned());
                match self.media.last_mut() {
                    Some(media) => media.connection = address,
                    None => self.connection = address,
                }
            }
            "m" => {
                if self.media.len() == MAX_MEDIA {
                    return Err(SdpError::TooLarge);
                }
                self.media.push(media(value).ok_or(SdpError::BadMedia(number))?);
            }
            "a" => {
                let attributes = match self.media.last_mut() {
                    Some(media) => &mut media.attributes,
                    None => &mut self.attributes,
                };
                if attributes.len() < MAX_ATTRIBUTES {
                    let (name, value) = value.split_once(':').map_or((value, None), |(n, v)| (n, Some(v)));
                    attributes.push(Attribute { name: name.to_owned(), value: value.map(str::to_owned) });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn media(value: &str) -> Option<Media> {
    let mut words = value.split_ascii_whitespace();
    let kind = words.next()?.to_owned();
    let port = words.next()?.split('/').next()?.parse().ok()?;
    let protocol = words.next()?.to_owned();
    let formats: Vec<String> = words.map(str::to_owned).collect();
    // What our answer repeats must read back as it stands: tokens, of visible characters (RFC 8866 §9).
    let visible = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic());
    let tokens = visible(&kind) && visible(&protocol) && formats.iter().all(|format| visible(format));
    (!formats.is_empty() && tokens).then_some(Media {
        kind,
        port,
        protocol,
        formats,
        connection: None,
        attributes: Vec::new(),
    })
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = ["crypto", "key-mgmt"].iter().any(|name| self.name.eq_ignore_ascii_case(name));
        let value = if secret { Some("***") } else { self.value.as_deref() };
        f.debug_struct("Attribute").field("name", &self.name).field("value", &value).finish()
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "a={}:{value}\r\n", self.name),
            None => write!(f, "a={}\r\n", self.name),
        }
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {} {}\r\n", self.kind, self.port, self.protocol, self.formats.join(" "))?;
        if let Some(address) = &self.connection {
            write!(f, "c=IN {} {address}\r\n", family(address))?;
        }
        self.attributes.iter().try_for_each(|attribute| attribute.fmt(f))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.connection.as_deref().unwrap_or("0.0.0.0");
        let family = family(address);
        write!(f, "v=0\r\no=- {} {} IN {family} {address}\r\n", self.session_id, self.session_version)?;
        write!(f, "s=-\r\nc=IN {family} {address}\r\nt=0 0\r\n")?;
        self.attributes.iter().try_for_each(|attribute| attribute.fmt(f))?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

/// `IP4` or `IP6`, by the look of the address.
fn family(address: &str) -> &'static str {
    if address.contains(':') { "IP6" } else { "IP4" }
}
