//! REGISTER and OPTIONS as we write them: outside any dialog, with a Call-ID and a CSeq that go on.

use trunkline_signalling::Tokens;
use trunkline_signalling::dialog::LocalAddress;
use trunkline_sip::{HeaderName, Hop, Method, Request, format_host};

/// What the requests of one purpose share.
#[derive(Debug)]
pub(super) struct Series {
    call_id: String,
    tag: String,
    cseq: u32,
}

impl Series {
    pub(super) fn new(call_id: String, tokens: &mut Tokens) -> Self {
        Self { call_id, tag: tokens.token(), cseq: 0 }
    }

    /// The next request to a Request-URI; `from` and `to` are header values without tags.
    pub(super) fn next(
        &mut self,
        method: Method,
        target: String,
        [from, to]: [&str; 2],
        address: &LocalAddress,
        tokens: &mut Tokens,
    ) -> Request {
        self.cseq += 1;
        let mut request = Request::new(method, target);
        let headers = &mut request.headers;
        headers.push(HeaderName::Via, address.via(&tokens.branch()));
        headers.push(HeaderName::MaxForwards, "70");
        headers.push(HeaderName::From, format!("{from};tag={}", self.tag));
        headers.push(HeaderName::To, to.to_owned());
        headers.push(HeaderName::CallId, self.call_id.clone());
        headers.push(HeaderName::CSeq, format!("{} {}", self.cseq, request.method));
        request
    }
}

/// `sip:host[:port]`.
pub(super) fn uri_of(hop: &Hop) -> String {
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("sip:{}{port}", format_host(&hop.host))
}

/// Our user name as the user part of a URI, other characters than plain ones escaped; and the domain
/// where it names one (`acme@sip.example.com`).
pub(super) fn user_and_domain(username: &str) -> (String, Option<&str>) {
    let (user, domain) = match username.rsplit_once('@') {
        Some((user, domain)) => (user, Some(domain)),
        None => (username, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&byte);
    let escaped = user.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    (escaped.collect(), domain)
}
