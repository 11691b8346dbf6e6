//! Header fields: names with their compact forms, and the list that keeps their order.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;

use crate::headers::{CSeq, Via};
use crate::{NameAddr, UriError, text};

macro_rules! header_names {
    ($($variant:ident $text:literal $($compact:literal)?,)*) => {
        /// The name of a header field, compared without regard to case. Names that no code here
        /// reads are [`HeaderName::Other`] and keep their spelling.
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "the variants are the registered names")]
        pub enum HeaderName { $($variant,)* Other(Box<str>) }

        impl HeaderName {
            /// The name as we write it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)* Self::Other(name) => name }
            }

            /// Reads a name in its long or compact form (RFC 3261 §7.3.3).
            #[must_use]
            pub fn from_token(name: &str) -> Self {
                $(if name.eq_ignore_ascii_case($text) $(|| name.eq_ignore_ascii_case($compact))? {
                    return Self::$variant;
                })*
                Self::Other(name.into())
            }
        }
    };
}

header_names! {
    Via "Via" "v",
    From "From" "f",
    To "To" "t",
    CallId "Call-ID" "i",
    CSeq "CSeq",
    Contact "Contact" "m",
    MaxForwards "Max-Forwards",
    ContentLength "Content-Length" "l",
    ContentType "Content-Type" "c",
    RecordRoute "Record-Route",
    Route "Route",
    Allow "Allow",
    Supported "Supported" "k",
    UserAgent "User-Agent",
    Require "Require",
    Accept "Accept",
    ContentEncoding "Content-Encoding" "e",
    ContentDisposition "Content-Disposition",
    Expires "Expires",
    MinExpires "Min-Expires",
    SessionExpires "Session-Expires" "x",
    MinSe "Min-SE",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
    Privacy "Privacy",
    Diversion "Diversion",
    HistoryInfo "History-Info",
    Reason "Reason",
    RAck "RAck",
    RSeq "RSeq",
    ReferTo "Refer-To" "r",
    ReferredBy "Referred-By" "b",
    ReferSub "Refer-Sub",
    Replaces "Replaces",
    Unsupported "Unsupported",
    RetryAfter "Retry-After",
    Server "Server",
    Warning "Warning",
    Subject "Subject" "s",
    Event "Event" "o",
    SubscriptionState "Subscription-State",
    AllowEvents "Allow-Events" "u",
    Authorization "Authorization",
    WwwAuthenticate "WWW-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyRequire "Proxy-Require",
    UserToUser "User-to-User",
    Identity "Identity" "y",
    IdentityInfo "Identity-Info" "n",
    AcceptContact "Accept-Contact" "a",
    RejectContact "Reject-Contact" "j",
    RequestDisposition "Request-Disposition" "d",
    Date "Date",
    Timestamp "Timestamp",
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for HeaderName {}

/// One header field. The value is unfolded and trimmed; bytes that are not UTF-8 are kept. What a
/// value that every layer asks for means is read once: neither part changes after creation.
#[derive(Debug, Clone)]
pub struct Header {
    name: HeaderName,
    value: Bytes,
    typed: OnceCell<Typed>,
}

/// A value as its header's own type; of a list, the first element.
#[derive(Debug, Clone)]
enum Typed {
    Via(Option<Box<Via>>),
    Address(Result<Box<NameAddr>, UriError>),
    CSeq(Option<CSeq>),
    /// Nothing that is asked for often.
    Text,
}

impl Typed {
    fn of(header: &Header) -> Self {
        let text = header.text();
        match header.name {
            HeaderName::Via => Self::Via(text::list(&text).next().and_then(Via::parse).map(Box::new)),
            HeaderName::From | HeaderName::To => Self::Address(NameAddr::parse(&text).map(Box::new)),
            HeaderName::Contact => {
                let first = text::list(&text).next().unwrap_or_default();
                Self::Address(NameAddr::parse(first).map(Box::new))
            }
            HeaderName::CSeq => Self::CSeq(CSeq::parse(&text)),
            _ => Self::Text,
        }
    }
}

impl Header {
    /// A field.
    #[must_use]
    pub fn new(name: HeaderName, value: impl Into<Bytes>) -> Self {
        Self { name, value: value.into(), typed: OnceCell::new() }
    }

    /// Name.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Value as received.
    #[must_use]
    pub const fn value(&self) -> &Bytes {
        &self.value
    }

    /// The value as text; bytes that are not UTF-8 (a Latin-1 display name) are replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        // The common case first: the lossy reader looks at every byte by itself.
        match std::str::from_utf8(&self.value) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.value),
        }
    }

    fn typed(&self) -> &Typed {
        self.typed.get_or_init(|| Typed::of(self))
    }

    /// The first element of a Via field.
    pub(crate) fn via(&self) -> Option<&Via> {
        match self.typed() {
            Typed::Via(via) => via.as_deref(),
            _ => None,
        }
    }

    /// The address of a From or To field, the first of a Contact field.
    pub(crate) fn address(&self) -> Result<&NameAddr, UriError> {
        match self.typed() {
            Typed::Address(Ok(address)) => Ok(address),
            Typed::Address(Err(error)) => Err(*error),
            _ => Err(UriError::NoScheme),
        }
    }

    /// The value of a CSeq field.
    pub(crate) fn cseq(&self) -> Option<&CSeq> {
        match self.typed() {
            Typed::CSeq(cseq) => cseq.as_ref(),
            _ => None,
        }
    }
}

impl PartialEq for Header {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Eq for Header {}

/// The header fields of a message in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No fields, with room for the usual number of them.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    /// Appends a field.
    pub fn push(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        self.0.push(Header::new(name, value));
    }

    /// Puts a field before all others, as a Via of ours must stand.
    pub fn push_front(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        self.0.insert(0, Header::new(name, value));
    }

    /// Replaces the first field of that name in its place; without one it is added.
    pub fn set_first(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        let field = Header::new(name, value);
        match self.0.iter_mut().find(|header| header.name == field.name) {
            Some(header) => *header = field,
            None => self.0.push(field),
        }
    }

    /// Replaces every field of that name by one.
    pub fn set(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        self.remove(&name);
        self.push(name, value);
    }

    /// Takes every field of that name out.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|header| header.name != *name);
    }

    /// The first field of that name.
    #[must_use]
    pub fn first(&self, name: &HeaderName) -> Option<&Header> {
        self.all(name).next()
    }

    /// The text of the first field of that name.
    #[must_use]
    pub fn text(&self, name: &HeaderName) -> Option<Cow<'_, str>> {
        self.first(name).map(Header::text)
    }

    /// Every field of that name.
    pub fn all(&self, name: &HeaderName) -> impl Iterator<Item = &Header> {
        self.0.iter().filter(move |header| header.name == *name)
    }

    /// The elements of all comma lists under that name, in order.
    pub fn elements(&self, name: &HeaderName) -> impl Iterator<Item = String> {
        self.all(name).flat_map(|header| {
            let text = header.text();
            text::list(&text).map(str::to_owned).collect::<Vec<_>>()
        })
    }

    /// Whether a comma list of tokens under that name holds `token`, without regard to case.
    #[must_use]
    pub fn lists(&self, name: &HeaderName, token: &str) -> bool {
        self.all(name)
            .any(|header| text::list(&header.text()).any(|element| element.eq_ignore_ascii_case(token)))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
