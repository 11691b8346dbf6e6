//! What makes two messages one transaction (RFC 3261 §17.1.3, §17.2.3).

use trunkline_sip::{Method, Request, Response, format_host};

/// Key of a server transaction. ACK and CANCEL map to the INVITE's key where `method` says so.
pub(super) fn server(request: &Request, method: &Method) -> Option<String> {
    let via = request.via()?;
    let sent_by = format_host(&via.sent_by.host);
    let port = via.sent_by.port.unwrap_or(0);
    if via.has_rfc3261_branch() {
        let branch = via.branch().unwrap_or("");
        return Some(format!("{branch}|{sent_by}:{port}|{method}"));
    }
    // RFC 2543 peers: Request-URI, From tag, Call-ID, CSeq number and the topmost Via's sent-by. The To tag
    // is left out, since the ACK of a final response carries the one that we added.
    let from = request.from()?;
    let call_id = String::from_utf8_lossy(request.call_id()?).into_owned();
    let number = request.cseq()?.number;
    Some(format!(
        "2543|{}|{}|{call_id}|{number}|{sent_by}:{port}|{method}",
        request.target,
        from.tag().unwrap_or(""),
    ))
}

/// What two requests share that are one, forked on the way to us (RFC 3261 §8.2.2.2).
pub(super) fn merged(request: &Request) -> Option<String> {
    if request.to()?.tag().is_some() {
        return None;
    }
    let from = request.from()?;
    let call_id = String::from_utf8_lossy(request.call_id()?).into_owned();
    Some(format!("{call_id}|{}|{}", from.tag()?, request.cseq()?))
}

/// Key of a client transaction, from a request of ours.
pub(super) fn client(request: &Request) -> Option<String> {
    Some(client_key(request.via()?.branch()?, &request.method))
}

/// Key of the client transaction that a response belongs to.
pub(super) fn of_response(response: &Response) -> Option<String> {
    Some(client_key(response.via()?.branch()?, &response.cseq()?.method))
}

fn client_key(branch: &str, method: &Method) -> String {
    format!("{branch}|{method}")
}
