//! What makes two messages one transaction (RFC 3261 §17.1.3, §17.2.3).
//!
//! A key is the fingerprint, under a secret key, of what must agree. It has one length whatever a
//! peer sends, and a peer cannot make two meet.

use trunkline_sip::headers::Via;
use trunkline_sip::{Host, Method, Request, Response};

use crate::tokens::{Fingerprint, KeyedHash};

/// Key of a server transaction. ACK and CANCEL map to the INVITE's key where `method` says so.
pub(super) fn server(hash: KeyedHash, request: &Request, method: &Method) -> Option<Fingerprint> {
    let via = request.via()?;
    let mut print = hash.fingerprint();
    if via.has_rfc3261_branch() {
        print.part(via.branch().unwrap_or(""));
    } else {
        // RFC 2543 peers: Request-URI, From tag, Call-ID, CSeq number and the topmost Via's sent-by.
        // The To tag is left out, since the ACK of a final response carries the one that we added.
        print.part("2543");
        print.part(&request.target);
        print.part(request.from()?.tag().unwrap_or(""));
        print.part(request.call_id()?);
        print.number(request.cseq()?.number.into());
    }
    sent_by(&mut print, via);
    print.part(method.as_str());
    Some(print.finish())
}

/// What two requests share that are one, forked on the way to us (RFC 3261 §8.2.2.2).
pub(super) fn merged(hash: KeyedHash, request: &Request) -> Option<Fingerprint> {
    if request.to()?.tag().is_some() {
        return None;
    }
    let cseq = request.cseq()?;
    let mut print = hash.fingerprint();
    print.part(request.call_id()?);
    print.part(request.from()?.tag()?);
    print.number(cseq.number.into());
    print.part(cseq.method.as_str());
    Some(print.finish())
}

/// Key of a client transaction, from a request of ours.
pub(super) fn client(hash: KeyedHash, request: &Request) -> Option<Fingerprint> {
    Some(client_key(hash, request.via()?.branch()?, &request.method))
}

/// Key of the client transaction that a response belongs to.
pub(super) fn of_response(hash: KeyedHash, response: &Response) -> Option<Fingerprint> {
    Some(client_key(hash, response.via()?.branch()?, &response.cseq()?.method))
}

fn client_key(hash: KeyedHash, branch: &str, method: &Method) -> Fingerprint {
    let mut print = hash.fingerprint();
    print.part(branch);
    print.part(method.as_str());
    print.finish()
}

fn sent_by(print: &mut crate::tokens::Printing, via: &Via) {
    match &via.sent_by.host {
        Host::IpAddr(std::net::IpAddr::V4(address)) => print.part(address.octets()),
        Host::IpAddr(std::net::IpAddr::V6(address)) => print.part(address.octets()),
        Host::Domain(name) => print.part(name.to_string()),
    }
    print.number(via.sent_by.port.unwrap_or(0).into());
}
