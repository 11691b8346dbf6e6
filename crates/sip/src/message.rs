//! Requests and responses.

use bytes::Bytes;

use crate::headers::{CSeq, Via};
use crate::multipart;
use crate::read::Defect;
use crate::{Header, HeaderName, Headers, Method, NameAddr, StatusCode, Uri, UriError};

/// A SIP message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are their payloads")]
pub enum Message {
    Request(Request),
    Response(Response),
}

impl Message {
    /// The header fields of either kind.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The Call-ID, by which a message finds its shard.
    #[must_use]
    pub fn call_id(&self) -> Option<&Bytes> {
        self.headers().first(&HeaderName::CallId).map(Header::value)
    }
}

/// A request. `target` is the Request-URI as written; it may be no URI, which is for
/// [`crate::check`] to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Request-URI as written.
    pub target: String,
    /// Header fields.
    pub headers: Headers,
    /// Body, byte for byte.
    pub body: Bytes,
    /// What the reader found wrong, if anything.
    pub defect: Option<Defect>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Reason phrase as received or as to be sent.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// Body, byte for byte.
    pub body: Bytes,
}

impl Request {
    /// A request of ours.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Headers::new(), body: Bytes::new(), defect: None }
    }

    /// The Request-URI.
    ///
    /// # Errors
    /// Where it is none.
    pub fn uri(&self) -> Result<Uri, UriError> {
        Uri::parse(&self.target)
    }
}

impl Response {
    /// Status code as a number.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.status.code()
    }
}

macro_rules! typed_access {
    ($($kind:ty),*) => {$(
        impl $kind {
            /// The topmost Via.
            #[must_use]
            pub fn via(&self) -> Option<&Via> {
                self.headers.first(&HeaderName::Via)?.via()
            }

            /// From.
            #[must_use]
            pub fn from(&self) -> Option<&NameAddr> {
                self.headers.first(&HeaderName::From)?.address().ok()
            }

            /// To.
            #[must_use]
            pub fn to(&self) -> Option<&NameAddr> {
                self.headers.first(&HeaderName::To)?.address().ok()
            }

            /// Call-ID as written.
            #[must_use]
            pub fn call_id(&self) -> Option<&Bytes> {
                self.headers.first(&HeaderName::CallId).map(Header::value)
            }

            /// CSeq.
            #[must_use]
            pub fn cseq(&self) -> Option<&CSeq> {
                self.headers.first(&HeaderName::CSeq)?.cseq()
            }

            /// The first Contact that is a URI.
            #[must_use]
            pub fn contact(&self) -> Option<&NameAddr> {
                self.headers.first(&HeaderName::Contact)?.address().ok()
            }

            /// The body of that media type: the whole of it, or a part of a multipart body
            /// (RFC 5621). Parameters are not compared.
            #[must_use]
            pub fn body_of(&self, media_type: &str) -> Option<Bytes> {
                if self.body.is_empty() {
                    return None;
                }
                let Some(kind) = self.headers.text(&HeaderName::ContentType) else {
                    // Careless peers leave it out of an ACK or an answer.
                    let is_sdp = media_type == "application/sdp" && self.body.starts_with(b"v=");
                    return is_sdp.then(|| self.body.clone());
                };
                if kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(media_type) {
                    return Some(self.body.clone());
                }
                match multipart::find(&kind, &self.body, &|kind| kind == media_type) {
                    multipart::Found::Body(body) => Some(body),
                    multipart::Found::Nothing | multipart::Found::NotUnderstood => None,
                }
            }
        }
    )*};
}

typed_access!(Request, Response);
