//! Where responses go, and the ACK that a refusal is answered with.

use trunkline_sip::{Flow, HeaderName, Method, Request, Response, Target, Transport};

/// Where the responses to `request` go (RFC 3261 §18.2.2, RFC 3581 §4): over a connection back on
/// it; over UDP to where it came from, at the port of the Via unless `rport` asked for the source.
/// `maddr` is not followed: with it one forged INVITE could aim our answers, a 200 eleven times over,
/// at anyone.
pub(super) fn response_target(request: &Request, flow: Flow) -> Target {
    let mut flow = flow;
    let via = request.via();
    if flow.transport == Transport::Udp {
        if let Some(via) = via.filter(|via| !via.params.has("rport")) {
            flow.remote.set_port(via.sent_by.port.unwrap_or(5060));
        }
        return Target::Flow { flow, fallback: None };
    }
    let fallback = via.map(|via| trunkline_sip::Hop {
        host: via.received().map_or_else(|| via.sent_by.host.clone(), trunkline_sip::Host::IpAddr),
        port: via.sent_by.port,
        transport: Some(flow.transport),
        name: None,
    });
    Target::Flow { flow, fallback }
}

pub(super) fn target_is_reliable(target: &Target) -> bool {
    match target {
        Target::Flow { flow, .. } => flow.is_reliable(),
        Target::Hop(hop) => hop.transport.is_some_and(|transport| transport != Transport::Udp),
    }
}

/// The ACK of a refusal: the INVITE's own Via, Request-URI and Route, the response's To
/// (RFC 3261 §17.1.1.3).
pub(super) fn acknowledge(invite: &Request, response: &Response) -> Request {
    let mut ack = Request::new(Method::Ack, invite.target.clone());
    if let Some(via) = invite.headers.first(&HeaderName::Via) {
        ack.headers.push(HeaderName::Via, via.value().clone());
    }
    for header in invite.headers.all(&HeaderName::Route) {
        ack.headers.push(HeaderName::Route, header.value().clone());
    }
    ack.headers.push(HeaderName::MaxForwards, "70");
    for (name, headers) in [
        (HeaderName::From, &invite.headers),
        (HeaderName::To, &response.headers),
        (HeaderName::CallId, &invite.headers),
    ] {
        if let Some(header) = headers.first(&name) {
            ack.headers.push(name, header.value().clone());
        }
    }
    let number = invite.cseq().map_or(1, |cseq| cseq.number);
    ack.headers.push(HeaderName::CSeq, format!("{number} ACK"));
    ack
}
