//! Legs by themselves, where a call of today does not bring them.

use std::time::Duration;

use bytes::Bytes;
use trunkline_sip::{Flow, HeaderName, Message, Request, Response, Transport, read};

use super::*;
use crate::{Inbound, KeyedHash, Mono, Now, ServerId, Timers, Tokens, Transactions};

const SDP: &str = "v=0\r\n";

struct Bench {
    transactions: Transactions,
    tokens: Tokens,
}

impl Bench {
    fn new() -> Self {
        let key = (1, 2);
        Self {
            transactions: Transactions::new(Timers::default(), KeyedHash::new(key)),
            tokens: Tokens::new(key),
        }
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut Cx<'_>) -> T) -> T {
        let now = Now { mono: Mono(Duration::from_secs(1)), utc: Duration::from_secs(1) };
        let (transactions, tokens) = (&mut self.transactions, &mut self.tokens);
        work(&mut Cx { transactions, tokens, now, events: &mut Vec::new() })
    }

    fn receive(&mut self, text: &str) -> (ServerId, Request) {
        let (local, remote) = (([192, 0, 2, 10], 5060).into(), ([192, 0, 2, 20], 5060).into());
        let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
        let message = read::datagram(&Bytes::copy_from_slice(text.as_bytes())).expect("a message");
        self.transactions.receive(message, flow, Mono(Duration::from_secs(1)));
        match self.transactions.poll_inbound() {
            Some(Inbound::Request(tx, request, _)) => (tx, *request),
            other => panic!("{other:?}"),
        }
    }

    fn said(&mut self) -> Vec<Response> {
        let payloads = std::iter::from_fn(|| self.transactions.poll_transmit());
        let read = |payload| match read::datagram(&payload) {
            Ok(Message::Response(response)) => response,
            other => panic!("{other:?}"),
        };
        payloads.map(|transmit| read(transmit.payload)).collect()
    }
}

fn request(method: &str, cseq: u32, to_tag: &str, more: &str) -> String {
    format!(
        "{method} sip:b@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK{method}{cseq}\r\nFrom: <sip:a@192.0.2.20>;tag=a\r\nTo: <sip:b@192.0.2.10>{to_tag}\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\nContact: <sip:a@192.0.2.20>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn an_answer_waits_for_the_prack_of_a_reliable_session_description() {
    // RFC 3262 §3: the UAS must not send a 2xx while a provisional offer or answer is unacknowledged.
    let mut bench = Bench::new();
    let (tx, invite) = bench.receive(&request("INVITE", 1, "", "Require: 100rel\r\n"));
    let address = LocalAddress { sent_by: "192.0.2.10".to_owned(), transport: Transport::Udp };
    let terms = LegTerms { address, policy: InDialogPolicy::default(), peer_name: None, account: None };
    let mut leg = bench.with(|cx| Leg::incoming(cx, tx, invite, terms)).expect("a leg");
    bench.with(|cx| leg.ring(cx, 183, Some(SDP)));
    let ringing = bench.said().remove(0);
    bench.with(|cx| leg.answer(cx, SDP));
    assert!(bench.said().is_empty(), "the 200 is held");
    let rseq = ringing.headers.text(&HeaderName::RSeq).expect("RSeq").into_owned();
    let tag = format!(";tag={}", leg.dialog().local_tag);
    let (tx, prack) = bench.receive(&request("PRACK", 2, &tag, &format!("RAck: {rseq} 1 INVITE\r\n")));
    bench.with(|cx| leg.handle_request(cx, tx, prack));
    let said = bench.said();
    let what: Vec<_> = said.iter().map(|r| (r.code(), r.cseq().map(|c| c.method.to_string()))).collect();
    assert_eq!(what, [(200, Some("PRACK".to_owned())), (200, Some("INVITE".to_owned()))]);
    assert!(leg.is_confirmed());
}
