//! The SIP messages of each leg, for the API: in which order they came and went.
//!
//! Each shard has a book of its own, which only its driver writes and only the API reads, so that their
//! locks meet no one. A leg's pages are opened when its call begins and torn out when the API forgets it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkline_signalling::Mono;
use trunkline_sip::Message;

use crate::metrics::method_name;

/// Messages kept from the beginning of a leg, and from its end; between the two they are counted only.
const HEAD: usize = 40;
const TAIL: usize = 40;

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: Mono,
    /// It is ours.
    pub(crate) sent: bool,
    /// The request's, or that of the request which a response answers.
    pub(crate) method: &'static str,
    /// A response's.
    pub(crate) code: Option<u16>,
}

/// The messages of one leg.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ladder {
    head: Vec<Step>,
    tail: VecDeque<Step>,
    pub(crate) omitted: usize,
}

impl Ladder {
    fn push(&mut self, step: Step) {
        if self.head.len() < HEAD {
            return self.head.push(step);
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
            self.omitted += 1;
        }
        self.tail.push_back(step);
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.head.iter().chain(&self.tail)
    }
}

/// One shard's book: ladders by Call-ID.
type Book = HashMap<Box<[u8]>, Ladder>;

/// All books; none where the configuration wants no ladders.
pub(crate) struct Ladders(Box<[Mutex<Book>]>);

impl Ladders {
    /// A book for each of so many shards, where they are wanted.
    pub(crate) fn new(wanted: bool, shards: usize) -> Self {
        Self((0..if wanted { shards } else { 0 }).map(|_| Mutex::default()).collect())
    }

    /// A leg's messages are kept from now on; false where they are already, or never are.
    pub(crate) fn open(&self, shard: usize, call_id: &[u8]) -> bool {
        let Some(mut book) = self.book(shard) else { return false };
        let is_new = !book.contains_key(call_id);
        if is_new {
            book.insert(call_id.into(), Ladder::default());
        }
        is_new
    }

    /// They are forgotten.
    pub(crate) fn forget(&self, shard: usize, call_id: &[u8]) {
        if let Some(mut book) = self.book(shard) {
            book.remove(call_id);
        }
    }

    /// What is kept of a leg.
    pub(crate) fn of(&self, shard: usize, call_id: &[u8]) -> Ladder {
        self.book(shard).and_then(|book| book.get(call_id).cloned()).unwrap_or_default()
    }

    /// A message came.
    pub(crate) fn received(&self, shard: usize, message: &Message, at: Mono) {
        let (Some(call_id), Some(mut book)) = (message.call_id(), self.book(shard)) else { return };
        let Some(ladder) = book.get_mut(call_id.as_ref()) else { return };
        let (method, code) = match message {
            Message::Request(request) => (method_name(Some(request.method.as_str().as_bytes())), None),
            Message::Response(response) => {
                let method = response.cseq().map(|cseq| cseq.method.as_str().as_bytes());
                (method_name(method), Some(response.code()))
            }
        };
        ladder.push(Step { at, sent: false, method, code });
    }

    /// A message went out, as it is on the wire.
    pub(crate) fn sent(&self, shard: usize, payload: &[u8], at: Mono) {
        let Some(mut book) = self.book(shard) else { return };
        if book.is_empty() {
            return;
        }
        let Some(ladder) = field(payload, b"Call-ID: ").and_then(|call_id| book.get_mut(call_id)) else {
            return;
        };
        let (method, code) = match payload.strip_prefix(b"SIP/2.0 ") {
            None => (word(payload, 0), None),
            Some(status) => {
                let code = std::str::from_utf8(status.get(..3).unwrap_or_default()).unwrap_or("");
                (field(payload, b"CSeq: ").and_then(|cseq| word(cseq, 1)), code.parse().ok())
            }
        };
        let method = method_name(method);
        ladder.push(Step { at, sent: true, method, code });
    }

    fn book(&self, shard: usize) -> Option<MutexGuard<'_, Book>> {
        self.0.get(shard).map(|book| book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn word(line: &[u8], place: usize) -> Option<&[u8]> {
    line.split(|byte| *byte == b' ').nth(place)
}

/// The value of a header as our writer writes it, before the body.
fn field<'a>(payload: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let lines = payload.split(|byte| *byte == b'\n').take_while(|line| *line != b"\r");
    lines.filter_map(|line| line.strip_prefix(name)).next().map(<[u8]>::trim_ascii_end)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(Duration::from_millis(millis))
    }

    #[test]
    fn only_known_legs_are_kept_and_both_directions_of_them() {
        let ladders = Ladders::new(true, 2);
        assert!(ladders.open(1, b"a") && !ladders.open(1, b"a"));
        let text = b"INVITE sip:x@y SIP/2.0\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\nCall-ID: b\r\n";
        ladders.sent(1, text, at(1));
        ladders.sent(1, b"SIP/2.0 200 OK\r\nCSeq: 7 BYE\r\nCall-ID: a\r\n\r\n", at(2));
        ladders.sent(1, b"SIP/2.0 200 OK\r\nCSeq: 7 BYE\r\nCall-ID: b\r\n\r\n", at(3));
        ladders.sent(0, text, at(4));
        let steps: Vec<_> = ladders.of(1, b"a").steps().map(|step| (step.method, step.code)).collect();
        assert_eq!(steps, [("INVITE", None), ("BYE", Some(200))]);
        assert_eq!(ladders.of(0, b"a").steps().count() + ladders.of(1, b"b").steps().count(), 0);
        ladders.forget(1, b"a");
        assert_eq!(ladders.of(1, b"a").steps().count(), 0);
    }

    #[test]
    fn a_long_leg_keeps_its_beginning_and_its_end() {
        let ladders = Ladders::new(true, 1);
        ladders.open(0, b"a");
        for n in 0..200 {
            ladders.sent(0, b"INFO sip:x SIP/2.0\r\nCall-ID: a\r\n\r\n", at(n));
        }
        let ladder = ladders.of(0, b"a");
        let times: Vec<_> = ladder.steps().map(|step| step.at.0.as_millis()).collect();
        assert_eq!((times.len(), ladder.omitted), (HEAD + TAIL, 200 - HEAD - TAIL));
        assert_eq!((times[HEAD - 1], times[HEAD], times[HEAD + TAIL - 1]), (39, 160, 199));
    }

    #[test]
    fn without_books_nothing_is_kept() {
        let ladders = Ladders::new(false, 1);
        assert!(!ladders.open(0, b"a"));
        ladders.sent(0, b"INFO sip:x SIP/2.0\r\nCall-ID: a\r\n\r\n", at(1));
        assert_eq!(ladders.of(0, b"a").steps().count(), 0);
    }
}
