//! What the peer of a program says, as it is on the wire.

/// A description, in one of many variants.
pub(super) fn sdp(variant: u8) -> String {
    let direction = ["sendrecv", "sendonly", "inactive", "recvonly"][usize::from(variant / 2 % 4)];
    let codec = [0, 8, 18, 0][usize::from(variant / 8 % 4)];
    format!(
        "v=0\r\no=- 1 {variant} IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP {codec} 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    )
}

/// A request of one of the program's calls.
pub(super) fn request(
    method: &str,
    id: u8,
    number: &str,
    tag: &str,
    cseq: u32,
    extra: &str,
    body: &str,
) -> Vec<u8> {
    // CANCEL and the ACK of a refusal have the branch of their INVITE.
    let branch = match method {
        "CANCEL" => format!("z9hG4bK{id}-1"),
        "ACK" if tag.is_empty() => format!("z9hG4bK{id}-1"),
        "INVITE" => format!("z9hG4bK{id}-{cseq}"),
        _ => format!("z9hG4bK{id}-{method}{cseq}"),
    };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:{number}@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@192.0.2.20>;tag=c{id}\r\nTo: <sip:{number}@192.0.2.10>{tag}\r\nCall-ID: program-{id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:c@192.0.2.20:5062>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
