//! Bodies of several parts (RFC 2046 §5.1, RFC 5621): a carrier's INVITE may bring ISUP or a PIDF-LO
//! beside the session description.

use bytes::Bytes;

use crate::{HeaderName, Params, text};

/// Most parts looked at.
const MAX_PARTS: usize = 16;

/// One part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Content-Type; `text/plain` where it says nothing.
    content_type: String,
    /// The sender says that it may be passed over (RFC 3204 §6, `handling=optional`).
    is_optional: bool,
    /// Its bytes.
    body: Bytes,
}

/// How deep multipart bodies may lie in one another.
const MAX_DEPTH: usize = 2;

/// What was found of one kind in a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its content.
    Body(Bytes),
    /// There is none, and nothing that must be understood.
    Nothing,
    /// A part that must be understood and is not.
    NotUnderstood,
}

/// Looks for a part that `wanted` names. Of a `mixed` or `related` body every part that is not
/// optional must be wanted; of an `alternative` one the last that is wanted counts, for the best comes
/// last, and the others may be anything (RFC 2046 §5.1.3, §5.1.4).
pub(crate) fn find(content_type: &str, body: &Bytes, wanted: &dyn Fn(&str) -> bool) -> Found {
    find_within(content_type, body, wanted, MAX_DEPTH)
}

fn find_within(content_type: &str, body: &Bytes, wanted: &dyn Fn(&str) -> bool, depth: usize) -> Found {
    let Some(boundary) = boundary(content_type) else { return Found::NotUnderstood };
    let alternative = essence(content_type) == "multipart/alternative";
    let mut found = Found::Nothing;
    for part in parts(body, &boundary) {
        let kind = essence(&part.content_type);
        let inner = match () {
            () if wanted(&kind) && !part.body.is_empty() => Found::Body(part.body),
            () if kind.starts_with("multipart/") && depth > 1 => {
                find_within(&part.content_type, &part.body, wanted, depth - 1)
            }
            () => Found::NotUnderstood,
        };
        match (inner, &found) {
            (Found::Body(_), Found::Body(_)) if !alternative => {}
            (inner @ Found::Body(_), _) => found = inner,
            (Found::NotUnderstood, _) if !alternative && !part.is_optional => return Found::NotUnderstood,
            _ => {}
        }
    }
    found
}

/// `type/subtype` in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The parts of a body, in order. What does not follow the grammar is left out.
fn parts(body: &Bytes, boundary: &str) -> Vec<Part> {
    if boundary.is_empty() || boundary.len() > 70 {
        return Vec::new();
    }
    let delimiter = format!("--{boundary}");
    let mut cuts = Cuts { body, delimiter: delimiter.as_bytes(), at: 0 };
    let mut parts = Vec::new();
    let Some(mut start) = cuts.next_line() else { return parts };
    while let Some(end) = cuts.next_line() {
        // Where two delimiters touch there is no part between them.
        parts.extend((start.1 < end.0).then(|| part(&body.slice(start.1..end.0))).flatten());
        if parts.len() == MAX_PARTS || end.2 {
            break;
        }
        start = end;
    }
    parts
}

/// Finds delimiter lines.
struct Cuts<'a> {
    body: &'a [u8],
    delimiter: &'a [u8],
    at: usize,
}

impl Cuts<'_> {
    /// The next delimiter: where the part before it ends, where the one behind it begins, and
    /// whether it closes the body.
    fn next_line(&mut self) -> Option<(usize, usize, bool)> {
        while self.at < self.body.len() {
            let line = self.at;
            let rest = &self.body[line..];
            let length = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |feed| feed + 1);
            self.at += length;
            if let Some(tail) = rest[..length].strip_prefix(self.delimiter) {
                let tail = tail.trim_ascii_end();
                if tail.is_empty() || tail == b"--" {
                    // The line end before a delimiter belongs to it.
                    let before = &self.body[..line];
                    let before = before.strip_suffix(b"\n").unwrap_or(before);
                    let before = before.strip_suffix(b"\r").unwrap_or(before);
                    return Some((before.len(), self.at, tail == b"--"));
                }
            }
        }
        None
    }
}

/// A part from its header fields, which may be folded, and its content.
fn part(bytes: &Bytes) -> Option<Part> {
    let (mut content_type, mut is_optional) = ("text/plain".to_owned(), false);
    let mut at = 0;
    loop {
        let mut line = next_line(bytes, &mut at)?.to_owned();
        if line.is_empty() {
            return Some(Part { content_type, is_optional, body: bytes.slice(at..) });
        }
        while matches!(bytes.get(at), Some(b' ' | b'\t')) {
            line.push(' ');
            line.push_str(next_line(bytes, &mut at)?.trim_start());
        }
        let (name, value) = line.split_once(':')?;
        match HeaderName::from_token(name.trim_end()) {
            HeaderName::ContentType => content_type = value.trim().to_owned(),
            HeaderName::ContentDisposition => {
                let params = Params::parse(value.split_once(';').map_or("", |(_, params)| params));
                is_optional = params.value("handling").is_some_and(|h| h.eq_ignore_ascii_case("optional"));
            }
            _ => {}
        }
    }
}

fn next_line<'a>(bytes: &'a Bytes, at: &mut usize) -> Option<&'a str> {
    let rest = &bytes[*at..];
    let feed = rest.iter().position(|b| *b == b'\n')?;
    *at += feed + 1;
    std::str::from_utf8(rest[..feed].trim_ascii_end()).ok()
}

/// The `boundary` of a `multipart` Content-Type.
fn boundary(content_type: &str) -> Option<String> {
    let kind = content_type.get(..10)?;
    let (_, params) = content_type.split_once(';')?;
    let params = Params::parse(params);
    let boundary = params.value("boundary")?;
    kind.eq_ignore_ascii_case("multipart/").then(|| text::unquote(boundary))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "preamble\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1 \r\nContent-Type: application/ISUP;version=nxv3\r\nContent-Disposition: signal; handling=optional\r\n\r\n\x01\x02\n--b12\r\n--b1--\r\nepilogue";

    #[test]
    fn parts_keep_their_bytes() {
        let parts = parts(&Bytes::from_static(BODY.as_bytes()), "b1");
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].content_type.as_str(), &parts[0].body[..]),
            ("application/sdp", &b"v=0\r\n"[..])
        );
        assert_eq!(essence(&parts[1].content_type), "application/isup");
        assert!(parts[1].is_optional && !parts[0].is_optional);
        assert_eq!(&parts[1].body[..], b"\x01\x02\n--b12");
    }

    #[test]
    fn a_body_that_never_closes_and_a_foreign_boundary_give_no_part() {
        let open = Bytes::from_static(b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n");
        assert!(parts(&open, "b").is_empty());
        assert!(parts(&Bytes::from_static(BODY.as_bytes()), "b2").is_empty());
        assert!(parts(&Bytes::from_static(BODY.as_bytes()), "").is_empty());
    }

    #[test]
    fn the_boundary_may_be_quoted() {
        assert_eq!(boundary("multipart/mixed;boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(boundary("Multipart/Mixed; x=1; BOUNDARY=z").as_deref(), Some("z"));
        assert_eq!(boundary("application/sdp;boundary=z"), None);
    }

    fn sdp_of(kind: &str, parts: &[(&str, &str)]) -> Found {
        let mut body = String::new();
        for (fields, content) in parts {
            body.push_str(&format!("--b\r\n{fields}\r\n\r\n{content}\r\n"));
        }
        body.push_str("--b--\r\n");
        find(&format!("{kind};boundary=b"), &Bytes::from(body), &|kind| kind == "application/sdp")
    }

    #[test]
    fn mixed_needs_every_part_and_alternative_the_best_that_is_known() {
        let (old, new) =
            (("Content-Type: application/sdp", "v=0 old"), ("Content-Type: application/sdp", "v=0 new"));
        let text = ("Content-Type: text/html", "hello");
        let optional = ("Content-Type: text/html\r\nContent-Disposition: x; handling=optional", "hello");
        let body = |text: &'static str| Found::Body(Bytes::from_static(text.as_bytes()));
        assert_eq!(sdp_of("multipart/mixed", &[old, text]), Found::NotUnderstood);
        assert_eq!(sdp_of("multipart/mixed", &[optional, old]), body("v=0 old"));
        assert_eq!(sdp_of("Multipart/Alternative", &[old, new, text]), body("v=0 new"));
        assert_eq!(sdp_of("multipart/mixed", &[optional]), Found::Nothing);
        let folded = ("Content-Type: application/sdp;\r\n charset=utf-8", "v=0 new");
        assert_eq!(sdp_of("multipart/mixed", &[folded]), body("v=0 new"));
    }

    #[test]
    fn a_hundred_bodies_in_one_another_are_not_followed_and_empty_parts_are_none() {
        let nested = |depth: usize| {
            let (mut body, mut kind) = ("v=0\r\n".to_owned(), "application/sdp".to_owned());
            for at in 0..depth {
                body = format!("--b{at}x\r\nContent-Type: {kind}\r\n\r\n{body}\r\n--b{at}x--\r\n");
                kind = format!("multipart/mixed;boundary=b{at}x");
            }
            find(&kind, &Bytes::from(body), &|kind| kind == "application/sdp")
        };
        assert!(matches!(nested(2), Found::Body(_)));
        assert_eq!(nested(100), Found::NotUnderstood);
        let wants_sdp = |kind: &str| kind == "application/sdp";
        let empty = "--b\r\n".repeat(10_000) + "--b--\r\n";
        assert_eq!(find("multipart/mixed;boundary=b", &Bytes::from(empty), &wants_sdp), Found::Nothing);
        let blank = Bytes::from_static(b"--b\r\n\r\n\r\n--b--\r\n");
        assert_eq!(
            find("multipart/mixed;boundary=b", &blank, &wants_sdp),
            Found::NotUnderstood,
            "an empty text"
        );
    }

    #[test]
    fn a_body_within_a_body_is_found() {
        let inner = "--c\r\nContent-Type: text/plain\r\n\r\nhello\r\n--c\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--c--";
        let nested = ("Content-Type: multipart/alternative;boundary=c", inner);
        assert_eq!(sdp_of("multipart/mixed", &[nested]), Found::Body(Bytes::from_static(b"v=0")));
    }
}
