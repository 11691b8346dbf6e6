//! Who may take over a leg of a trunk by an INVITE with Replaces (RFC 3891 §9): a peer of that trunk, where the trunk
//! obeys REFERs too, for either way the carrier says who the call goes on with.

use std::sync::Arc;

use crate::candidates::candidates;
use crate::decide::caller_is_allowed;
use crate::{Caller, InboundCall, RouteTable, Trunk};

/// The trunk as it is today, where the peer of an INVITE may take over a leg of it.
///
/// # Errors
/// Why not, for the log.
pub fn decide_replaces(
    table: &RouteTable,
    call: &InboundCall<'_>,
    trunk: &str,
) -> Result<Arc<Trunk>, &'static str> {
    let held = candidates(table, call).into_iter().find(|candidate| candidate.trunk.name == trunk);
    let trunk = held.ok_or("the peer is none of the trunk that the replaced leg is on")?.trunk;
    if !trunk.accept_refer {
        return Err("the trunk does not say accept_refer");
    }
    if !caller_is_allowed(trunk, &Caller::of(call.request, trunk).0) {
        return Err("the caller is not among the trunk's allowed_numbers");
    }
    Ok(Arc::clone(trunk))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trunkline_sip::{Message, Request, read};

    use super::*;
    use crate::{Source, load};

    const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["192.0.2.0/24"]
allowed_numbers = ["+1*"]
accept_refer = true
[[trunk]]
name = "plain"
allowed_addresses = ["192.0.2.0/24"]
[[trunk]]
name = "out"
address = "192.0.2.20"
direction = "outbound"
accept_refer = true
[[trunk]]
name = "asks"
allowed_addresses = ["192.0.2.0/24"]
accept_refer = true
challenge = true
auth_username = "u"
auth_password = "p"
"#;

    fn request(from: &str) -> Request {
        let text = format!(
            "INVITE sip:192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nFrom: <sip:{from}@x>;tag=f\r\nTo: <sip:192.0.2.10>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        match read::datagram(&Bytes::from(text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_peer_of_the_legs_trunk_takes_it_over_where_that_obeys_refers() {
        let source = Source { name: "t".to_owned(), text: TABLES.to_owned() };
        let (table, _) = load(&[source], None).expect("loads");
        let may = |source: &str, proved, from, trunk| {
            let request = request(from);
            let source = source.parse().expect("address");
            let call = InboundCall { source, names: &[], proved, request: &request };
            decide_replaces(&table, &call, trunk).is_ok()
        };
        assert!(may("192.0.2.20", None, "+14155550199", "carrier"));
        assert!(!may("198.51.100.1", None, "+14155550199", "carrier"), "no peer of the trunk");
        assert!(!may("192.0.2.20", None, "+442079460000", "carrier"), "not among allowed_numbers");
        assert!(!may("192.0.2.20", None, "+14155550199", "plain"), "no accept_refer");
        assert!(!may("192.0.2.20", None, "+14155550199", "out"), "no calls come in by it");
        assert!(!may("192.0.2.20", None, "+14155550199", "asks"), "nothing was proved");
        assert!(may("192.0.2.20", Some("asks"), "+14155550199", "asks"));
        assert!(!may("192.0.2.20", None, "+14155550199", "gone"));
    }
}
