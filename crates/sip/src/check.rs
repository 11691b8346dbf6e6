//! What is wrong with a request, and the answer RFC 3261 §8.2 asks for.
//!
//! [`request`] looks at the message alone: syntax, version, mandatory fields. What depends on us
//! (methods, extensions, bodies) is [`capabilities`]'s, which is given what we can do. A response that
//! is wrong has no answer: [`response`] says why it is dropped.

use crate::headers::{MediaType, Via, max_forwards, option_tags};
use crate::limits::MAX_VIA;
use crate::read::Defect;
use crate::{HeaderName, Headers, Method, NameAddr, Request, Response, Scheme, multipart, reply, text};

/// A refusal: status, phrase, and the fields it must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Status code.
    pub code: u16,
    /// Phrase that names the fault; empty for the registered one.
    pub phrase: &'static str,
    /// Fields such as Allow, Unsupported or Accept.
    pub fields: Vec<(HeaderName, String)>,
}

impl Rejection {
    /// A refusal without fields.
    #[must_use]
    pub const fn new(code: u16, phrase: &'static str) -> Self {
        Self { code, phrase, fields: Vec::new() }
    }

    fn with(code: u16, name: HeaderName, value: String) -> Self {
        Self { code, phrase: "", fields: vec![(name, value)] }
    }

    /// The response to `request`.
    #[must_use]
    pub fn response(&self, request: &Request, to_tag: &str) -> Response {
        let mut response = reply::to(request, self.code, Some(to_tag));
        response.reason = self.phrase.to_owned();
        for (name, value) in &self.fields {
            response.headers.push(name.clone(), value.clone());
        }
        response
    }
}

/// The fields a message has at most once (RFC 3261 §7.3.1, Table 2).
const SINGLE: [(HeaderName, &str); 6] = [
    (HeaderName::From, "Duplicate From"),
    (HeaderName::To, "Duplicate To"),
    (HeaderName::CallId, "Duplicate Call-ID"),
    (HeaderName::CSeq, "Duplicate CSeq"),
    (HeaderName::MaxForwards, "Duplicate Max-Forwards"),
    (HeaderName::ContentType, "Duplicate Content-Type"),
];

/// Whether the request is well formed.
///
/// # Errors
/// The refusal: 400 with a phrase that names the fault, 414, 416 or 505.
pub fn request(request: &Request) -> Result<(), Rejection> {
    let bad = |phrase| Err(Rejection::new(400, phrase));
    match request.defect {
        Some(Defect::Version) => return Err(Rejection::new(505, "")),
        Some(Defect::RequestLine) => return bad("Malformed Request Line"),
        Some(Defect::HeaderLine) => return bad("Malformed Header Line"),
        Some(Defect::TooManyHeaders) => return bad("Too Many Header Fields"),
        Some(Defect::HeaderTooLong) => return bad("Header Field Too Long"),
        Some(Defect::ContentLength) => return bad("Bad Content-Length"),
        Some(Defect::NoEmptyLine) => return bad("Missing Empty Line"),
        None => {}
    }
    if request.target.len() > MAX_URI_BYTES {
        return Err(Rejection::new(414, ""));
    }
    for (name, phrase) in &SINGLE {
        if request.headers.all(name).nth(1).is_some() {
            return bad(phrase);
        }
    }
    via(&request.headers)?;
    cseq(request)?;
    addresses(request)?;
    let hops_fine =
        request.headers.first(&HeaderName::MaxForwards).is_none() || max_forwards(&request.headers).is_some();
    if !hops_fine {
        return bad("Bad Max-Forwards");
    }
    target(request)
}

/// Whether a response can be believed to answer a request of ours.
///
/// # Errors
/// What is wrong with it: it is dropped (RFC 3261 §8.1.3.3, §18.1.2).
pub fn response(response: &Response) -> Result<(), &'static str> {
    let fields = &response.headers;
    let singles = SINGLE.iter().take(4);
    if let Some((_, phrase)) = singles.into_iter().find(|(name, _)| fields.all(name).nth(1).is_some()) {
        return Err(phrase);
    }
    // One that was meant for somebody before us has more than ours.
    if response.via().is_none() || fields.elements(&HeaderName::Via).nth(1).is_some() {
        return Err("not one Via");
    }
    let cseq = response.cseq().ok_or("no CSeq")?;
    response.from().ok_or("no From")?;
    response.call_id().ok_or("no Call-ID")?;
    let to = response.to().ok_or("no To")?;
    // A 2xx that makes a dialog without naming it cannot be ended.
    let makes_dialog = cseq.method == Method::Invite && matches!(response.code(), 200..=299);
    if makes_dialog && to.tag().is_none() {
        return Err("no To tag");
    }
    Ok(())
}

/// Longest Request-URI read; 414 beyond it.
const MAX_URI_BYTES: usize = 2048;

fn via(headers: &Headers) -> Result<(), Rejection> {
    let mut count = 0;
    for header in headers.all(&HeaderName::Via) {
        let text = header.text();
        for (place, value) in text::list(&text).enumerate() {
            count += 1;
            if count > MAX_VIA {
                return Err(Rejection::new(400, "Too Many Via"));
            }
            let is_fine = if place == 0 { header.via().is_some() } else { Via::parse(value).is_some() };
            if !is_fine {
                return Err(Rejection::new(400, "Bad Via"));
            }
        }
    }
    if count == 0 {
        return Err(Rejection::new(400, "Missing Via"));
    }
    Ok(())
}

fn cseq(request: &Request) -> Result<(), Rejection> {
    let Some(header) = request.headers.first(&HeaderName::CSeq) else {
        return Err(Rejection::new(400, "Missing CSeq"));
    };
    match header.cseq() {
        None => Err(Rejection::new(400, "Bad CSeq")),
        // An unknown method is 501 whatever its CSeq says.
        Some(cseq) if cseq.method != request.method && request.method.is_known() => {
            Err(Rejection::new(400, "CSeq Method Does Not Match"))
        }
        Some(_) => Ok(()),
    }
}

fn addresses(request: &Request) -> Result<(), Rejection> {
    let bad = |phrase| Err(Rejection::new(400, phrase));
    let single = |name, missing, broken| match request.headers.first(&name) {
        None => Err(Rejection::new(400, missing)),
        Some(header) if header.address().is_err() => Err(Rejection::new(400, broken)),
        Some(_) => Ok(()),
    };
    single(HeaderName::From, "Missing From", "Bad From")?;
    single(HeaderName::To, "Missing To", "Bad To")?;
    match request.call_id() {
        None => return bad("Missing Call-ID"),
        Some(id) if id.is_empty() || id.iter().any(u8::is_ascii_whitespace) => {
            return bad("Bad Call-ID");
        }
        Some(_) => {}
    }
    for header in request.headers.all(&HeaderName::Contact) {
        let text = header.text();
        for (place, value) in text::list(&text).enumerate() {
            let star = value == "*" && request.method == Method::Register;
            let first = (place == 0).then(|| header.address().ok());
            if !star && !contact_is_fine(value, first) {
                return bad("Bad Contact");
            }
        }
    }
    for name in [HeaderName::Route, HeaderName::RecordRoute] {
        if request.headers.elements(&name).any(|value| NameAddr::parse(&value).is_err()) {
            return bad("Bad Route");
        }
    }
    Ok(())
}

/// A Contact with URI header fields must stand in angle brackets (RFC 3261 §20.10). `read` is what
/// the value reads as, where that is known.
fn contact_is_fine(value: &str, read: Option<Option<&NameAddr>>) -> bool {
    let bare = !value.contains('<');
    let fine = |contact: &NameAddr| !(bare && contact.uri.as_str().contains('?'));
    match read {
        Some(contact) => contact.is_some_and(fine),
        None => NameAddr::parse(value).is_ok_and(|contact| fine(&contact)),
    }
}

fn target(request: &Request) -> Result<(), Rejection> {
    match request.uri() {
        Err(_) => Err(Rejection::new(400, "Bad Request-URI")),
        Ok(uri) if matches!(uri.scheme(), Scheme::Other(_)) => Err(Rejection::new(416, "")),
        Ok(_) => Ok(()),
    }
}

/// What the element that answers can do.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities<'a> {
    /// Methods for Allow.
    pub methods: &'a [Method],
    /// Option tags that may stand in Require.
    pub extensions: &'a [&'a str],
    /// Media types of bodies that are understood.
    pub bodies: &'a [&'a str],
}

/// Whether we can serve a well-formed request (RFC 3261 §8.2.1 to §8.2.3, in that order).
///
/// # Errors
/// 405 with Allow, 501, 420 with Unsupported, 415 with Accept, or 406.
pub fn capabilities(request: &Request, ours: &Capabilities<'_>) -> Result<(), Rejection> {
    if !ours.methods.contains(&request.method) {
        let code = if request.method.is_known() { 405 } else { 501 };
        return Err(Rejection::with(code, HeaderName::Allow, allow(ours.methods)));
    }
    if matches!(request.method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let unknown: Vec<String> = option_tags(&request.headers, &HeaderName::Require)
        .filter(|tag| !ours.extensions.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .collect();
    if !unknown.is_empty() {
        return Err(Rejection::with(420, HeaderName::Unsupported, unknown.join(", ")));
    }
    // A body counts where it describes a session. What INFO and MESSAGE carry is the dialog's affair;
    // what else a BYE brings along (ISUP, a voice quality report) hinders nothing.
    if matches!(request.method, Method::Invite | Method::Update | Method::Prack) {
        body(request, ours)?;
    }
    let answers_sdp = matches!(request.method, Method::Invite | Method::Update);
    if answers_sdp && !MediaType::is_acceptable(&request.headers, "application/sdp") {
        // RFC 4475 §3.3.15 wants the reason told; 399 is a warning in words (RFC 3261 §20.43).
        let warning = "399 trunkline \"Answers are application/sdp\"".to_owned();
        return Err(Rejection::with(406, HeaderName::Warning, warning));
    }
    Ok(())
}

/// The value of an Allow field.
#[must_use]
pub fn allow(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

fn body(request: &Request, ours: &Capabilities<'_>) -> Result<(), Rejection> {
    if request.body.is_empty() || is_optional(&request.headers) {
        return Ok(());
    }
    let refuse = || Err(Rejection::with(415, HeaderName::Accept, ours.bodies.join(", ")));
    if request.headers.elements(&HeaderName::ContentEncoding).any(|c| !c.eq_ignore_ascii_case("identity")) {
        let identity = (HeaderName::from_token("Accept-Encoding"), "identity".to_owned());
        return Err(Rejection { code: 415, phrase: "", fields: vec![identity] });
    }
    match MediaType::of(&request.headers) {
        None => Err(Rejection::new(400, "Missing Content-Type")),
        Some(kind) if ours.bodies.contains(&kind.essence.as_str()) => Ok(()),
        Some(kind) if kind.essence.starts_with("multipart/") => {
            let text = request.headers.text(&HeaderName::ContentType).unwrap_or_default();
            let found = multipart::find(&text, &request.body, &|kind| ours.bodies.contains(&kind));
            if matches!(found, multipart::Found::Body(_)) { Ok(()) } else { refuse() }
        }
        Some(_) => refuse(),
    }
}

/// Whether the sender said that the body may be passed over (RFC 3261 §20.11).
fn is_optional(headers: &Headers) -> bool {
    headers.text(&HeaderName::ContentDisposition).is_some_and(|value| {
        crate::Params::parse(value.split_once(';').map_or("", |(_, params)| params))
            .value("handling")
            .is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
    })
}

#[cfg(test)]
mod tests;
