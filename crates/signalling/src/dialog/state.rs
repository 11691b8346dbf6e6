//! Dialog state (RFC 3261 §12.1, §12.2): what every request inside the dialog is built from.

use trunkline_sip::{
    Flow, HeaderName, Hop, Method, NameAddr, Request, Response, Scheme, Target, Transport, Uri, headers,
};

use crate::Tokens;

/// How we name ourselves on a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// `host:port` as the peer can reach it.
    pub sent_by: String,
    /// Transport of the flow.
    pub transport: Transport,
}

impl LocalAddress {
    /// Our Contact value.
    #[must_use]
    pub fn contact(&self) -> String {
        match self.transport {
            Transport::Tcp => format!("<sip:{};transport=tcp>", self.sent_by),
            Transport::Tls => format!("<sip:{};transport=tls>", self.sent_by),
            _ => format!("<sip:{}>", self.sent_by),
        }
    }

    /// A Via value with that branch.
    #[must_use]
    pub fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/{} {};branch={branch};rport", self.transport, self.sent_by)
    }
}

/// One dialog.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty for an RFC 2543 peer and before the first response.
    pub remote_tag: String,
    /// Our From or To value without its tag.
    local: String,
    /// The peer's From or To value with its tag.
    remote: String,
    /// CSeq of our last request.
    local_cseq: u32,
    /// CSeq of the peer's last request.
    remote_cseq: Option<u32>,
    /// Route values, first hop first; frozen once the dialog is made.
    route_set: Vec<String>,
    /// The peer's Contact; target refreshes change it.
    pub remote_target: String,
    /// The flow that the dialog sticks to.
    pub flow: Flow,
    /// Our name on it.
    pub address: LocalAddress,
    /// The name that the peer's certificate holds, where the next hop is written as an address.
    pub peer_name: Option<String>,
    /// The offer of our INVITE was answered in this dialog before the final response.
    pub(super) answered_early: bool,
    /// The peer asked for TLS all the way, so our Contact says `sips` (RFC 3261 §12.1.1).
    sips: bool,
    /// Hops that a request of ours may take (RFC 3261 §8.1.1.6).
    pub(super) max_forwards: u8,
}

/// Hops of a request that nothing else led to.
pub const MAX_FORWARDS: u8 = 70;

impl Dialog {
    /// The dialog that an INVITE to us makes (RFC 3261 §12.1.1).
    #[must_use]
    pub fn of_request(request: &Request, flow: Flow, address: LocalAddress, tag: String) -> Self {
        let value = |name| request.headers.text(&name).unwrap_or_default().into_owned();
        let from = request.from();
        let routes = headers::addresses(&request.headers, &HeaderName::RecordRoute);
        let target = request.contact().or(from).map(|c| c.uri.to_string());
        let top = headers::addresses(&request.headers, &HeaderName::RecordRoute).next();
        let is_sips = |uri: &Uri| *uri.scheme() == Scheme::Sips;
        let hop = top.as_ref().or_else(|| request.contact());
        let sips = request.uri().is_ok_and(|uri| is_sips(&uri)) || hop.is_some_and(|hop| is_sips(&hop.uri));
        Self {
            call_id: value(HeaderName::CallId),
            local_tag: tag,
            remote_tag: from.and_then(|f| f.tag().map(str::to_owned)).unwrap_or_default(),
            local: value(HeaderName::To),
            remote: value(HeaderName::From),
            local_cseq: 0,
            remote_cseq: request.cseq().map(|cseq| cseq.number),
            route_set: routes.map(|route| route.to_string()).collect(),
            remote_target: target.unwrap_or_default(),
            flow,
            address,
            peer_name: None,
            answered_early: false,
            sips,
            max_forwards: MAX_FORWARDS,
        }
    }

    /// The dialog to be that an INVITE of ours opens. `from` and `to` are header values.
    #[must_use]
    pub fn of_invite(
        call_id: String,
        tag: String,
        from: String,
        to: String,
        request_uri: String,
        flow: Flow,
        address: LocalAddress,
    ) -> Self {
        Self {
            call_id,
            local_tag: tag,
            remote_tag: String::new(),
            local: from,
            remote: to,
            local_cseq: 0,
            remote_cseq: None,
            route_set: Vec::new(),
            remote_target: request_uri,
            flow,
            address,
            peer_name: None,
            answered_early: false,
            sips: false,
            max_forwards: MAX_FORWARDS,
        }
    }

    /// Where a dialog that we open begins, known only now.
    pub fn begin_at(&mut self, flow: Flow, address: LocalAddress, from: String) {
        (self.flow, self.address, self.local) = (flow, address, from);
    }

    /// Another Request-URI for the INVITE: that of the next place, or one that a redirection names.
    pub fn aim_at(&mut self, request_uri: String) {
        self.remote_target = request_uri;
    }

    /// Goes on counting requests from another dialog of the same INVITE.
    pub const fn count_from(&mut self, other: &Self) {
        self.local_cseq = other.local_cseq;
    }

    /// Takes tag, route set (reversed, RFC 3261 §12.1.2) and target from a response that makes the
    /// dialog.
    pub fn take_response(&mut self, response: &Response) {
        if let Some(to) = response.headers.text(&HeaderName::To) {
            self.remote = to.into_owned();
        }
        self.remote_tag = response.to().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
        let routes = headers::addresses(&response.headers, &HeaderName::RecordRoute);
        self.route_set = routes.map(|route| route.to_string()).collect();
        self.route_set.reverse();
        self.refresh_target(response.contact());
    }

    /// Target refresh by a re-INVITE, an UPDATE or their answers (RFC 3261 §12.2).
    pub fn refresh_target(&mut self, contact: Option<&NameAddr>) {
        let Some(contact) = contact else { return };
        let place = |uri: &Uri| (uri.host().cloned(), uri.port().unwrap_or(5060));
        let before = Uri::parse(&self.remote_target).map(|uri| place(&uri)).ok();
        let now = place(&contact.uri);
        // On the host that we talk to, another port than before is meant; an unchanged one may be what
        // stands behind a NAT, whose own port the flow has.
        let is_here = matches!(&now.0, Some(trunkline_sip::Host::IpAddr(ip)) if *ip == self.flow.remote.ip());
        let direct = self.flow.transport == Transport::Udp && self.route_set.is_empty();
        if direct && is_here && before.is_some_and(|before| before != now) {
            self.flow.remote.set_port(now.1);
        }
        self.remote_target = contact.uri.to_string();
    }

    /// The peer has sent a request by that flow: over a new connection, or from behind a NAT that has
    /// another port for it now. Ours go back the same way.
    pub const fn follow(&mut self, flow: Flow) {
        self.flow = flow;
    }

    /// Whether a request's CSeq is in order; the number is taken over (RFC 3261 §12.2.2).
    pub fn accepts_cseq(&mut self, number: u32) -> bool {
        let fresh = self.remote_cseq.is_none_or(|last| number > last);
        if fresh {
            self.remote_cseq = Some(number);
        }
        fresh
    }

    /// Whether the tags of a request are those of this dialog.
    #[must_use]
    pub fn owns(&self, request: &Request) -> bool {
        let of = |party: Option<&NameAddr>, tag: &str| party.and_then(NameAddr::tag) == Some(tag);
        let from = request.from().and_then(NameAddr::tag).unwrap_or_default();
        from == self.remote_tag && of(request.to(), &self.local_tag)
    }

    /// A new request inside the dialog, with the next CSeq.
    pub fn request(&mut self, method: Method, tokens: &mut Tokens) -> Request {
        self.local_cseq += 1;
        self.numbered(method, self.local_cseq, tokens)
    }

    /// The ACK of a 2xx to the INVITE with that CSeq.
    pub fn ack(&self, number: u32, tokens: &mut Tokens) -> Request {
        self.numbered(Method::Ack, number, tokens)
    }

    fn numbered(&self, method: Method, number: u32, tokens: &mut Tokens) -> Request {
        let (uri, routes) = self.request_uri_and_routes();
        let mut request = Request::new(method, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::Via, self.address.via(&tokens.branch()));
        for route in routes {
            headers.push(HeaderName::Route, route);
        }
        headers.push(HeaderName::MaxForwards, self.max_forwards.to_string());
        headers.push(HeaderName::From, format!("{};tag={}", self.local, self.local_tag));
        headers.push(HeaderName::To, self.remote.clone());
        headers.push(HeaderName::CallId, self.call_id.clone());
        headers.push(HeaderName::CSeq, format!("{number} {}", request.method));
        let makes_target =
            matches!(request.method, Method::Invite | Method::Update | Method::Refer | Method::Notify);
        if makes_target {
            request.headers.push(HeaderName::Contact, self.contact());
        }
        request
    }

    /// Our Contact value.
    #[must_use]
    pub fn contact(&self) -> String {
        if self.sips { format!("<sips:{}>", self.address.sent_by) } else { self.address.contact() }
    }

    /// Request-URI and Route values; a strict router in front swaps the two (RFC 3261 §12.2.1.1).
    fn request_uri_and_routes(&self) -> (String, Vec<String>) {
        let first = self.route_set.first().and_then(|route| NameAddr::parse(route).ok());
        match first {
            Some(first) if !first.uri.is_loose() => {
                let mut routes = self.route_set[1..].to_vec();
                routes.push(format!("<{}>", self.remote_target));
                (first.uri.without_headers().to_owned(), routes)
            }
            _ => {
                let target = Uri::parse(&self.remote_target);
                let uri = target
                    .map_or_else(|_| self.remote_target.clone(), |uri| uri.without_headers().to_owned());
                (uri, self.route_set.clone())
            }
        }
    }

    /// The hop that the route set, or without one the remote target, names.
    fn next_hop(&self) -> Option<Hop> {
        let next = self.route_set.first().and_then(|route| NameAddr::parse(route).ok()).map(|r| r.uri);
        Hop::of(&next.or_else(|| Uri::parse(&self.remote_target).ok())?)
    }

    /// Whether the peer can be reached without the connection that the dialog came on.
    #[must_use]
    pub fn has_hop(&self) -> bool {
        self.next_hop().is_some()
    }

    /// Where requests inside the dialog go: the flow it came on, with the next hop as fallback once
    /// a connection is gone. Over UDP, a next hop at another public address than the flow's is
    /// believed; a private or a named one is reached through the flow (NAT, and names that resolve
    /// to where we already are).
    #[must_use]
    pub fn target(&self) -> Target {
        let hop = self.next_hop();
        if self.flow.transport != Transport::Udp {
            // Never by a lesser transport than the dialog has.
            let transport = Some(self.flow.transport);
            let hop = hop.map(|hop| Hop { transport, ..hop }.known_as(self.peer_name.as_deref()));
            return match (self.flow.connection, hop) {
                (None, Some(hop)) => Target::Hop(hop),
                (_, fallback) => Target::Flow { flow: self.flow, fallback },
            };
        }
        let mut flow = self.flow;
        if let Some(Hop { host: trunkline_sip::Host::IpAddr(ip), port, .. }) = &hop {
            let same = *ip == flow.remote.ip();
            let same_family = ip.is_ipv4() == flow.remote.is_ipv4();
            let believable = same_family && (is_public(*ip) || !is_public(flow.remote.ip()));
            if !same && believable {
                flow.remote = std::net::SocketAddr::new(*ip, port.unwrap_or(5060));
            }
        }
        Target::Flow { flow, fallback: None }
    }
}

/// Whether an address can be reached over the internet, as far as its form tells.
fn is_public(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            let special = v4.is_loopback() || v4.is_link_local() || v4.is_unspecified();
            !(shared || special || v4.is_private() || v4.is_multicast() || v4.is_broadcast())
        }
        std::net::IpAddr::V6(v6) => {
            !(v6.is_multicast()
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}
