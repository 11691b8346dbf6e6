//! INFO that we send (RFC 6086): key presses to a peer whose trunk wants them so.
//!
//! ```text
//! inform ─▶ queue ── the dialog is up, none under way ─▶ Asked ── answered, or never ─▶ the next
//!                                                          └── 401, 407: once more with the answer
//! ```
//! One at a time, so that keys arrive in their order. What a peer refuses is lost: it has no other way to hear
//! of a key.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, Response};

use super::leg::{Cx, Ended, Leg};
use crate::ClientId;

/// INFOs that wait; further ones are not sent.
const MAX_WAITING: usize = 128;

/// What is sent in an INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its Content-Type.
    pub kind: &'static str,
    /// Its body.
    pub body: String,
}

/// The INFOs of a leg, once there was one.
#[derive(Debug, Default)]
pub(super) struct Informing {
    waiting: VecDeque<Info>,
    /// The one under way is the first of those that wait.
    tx: Option<ClientId>,
}

impl Leg {
    /// Sends an INFO, behind those that wait.
    pub fn inform(&mut self, cx: &mut Cx<'_>, info: Info) {
        let informing = self.informing.get_or_insert_default();
        if informing.waiting.len() < MAX_WAITING {
            informing.waiting.push_back(info);
        }
        self.send_info(cx);
    }

    /// The next INFO, where none is under way and the peer has a dialog to speak of.
    pub(super) fn send_info(&mut self, cx: &mut Cx<'_>) {
        if !self.is_confirmed() || self.unacked.is_some() {
            return;
        }
        let Some(informing) = self.informing.as_ref().filter(|informing| informing.tx.is_none()) else {
            return;
        };
        let Some(Info { kind, body }) = informing.waiting.front().cloned() else { return };
        let mut request = self.dialog.request(Method::Info, cx.tokens);
        request.headers.push(HeaderName::ContentType, kind);
        request.body = Bytes::from(body);
        self.sign(&mut request, cx);
        let tx = cx.transactions.request(request, self.dialog.target(), cx.now.mono);
        if let Some(informing) = &mut self.informing {
            informing.tx = Some(tx);
        }
    }

    /// The transaction of our INFO, while it has no final response.
    pub(super) fn info_transaction(&self) -> Option<ClientId> {
        self.informing.as_ref()?.tx
    }

    /// The peer has it, refuses it, or asks who sends it.
    pub(super) fn info_response(&mut self, cx: &mut Cx<'_>, response: &Response) {
        if response.code() < 200 {
            return;
        }
        let again = self.challenged(response);
        self.info_done(cx, again);
        // RFC 3261 §12.2.1.2: the peer knows nothing of the dialog.
        if response.code() == 481 && self.is_confirmed() {
            self.leave(cx, Ended::Lost);
        }
    }

    /// One is answered, or never will be: it goes out `again`, or the next does.
    pub(super) fn info_done(&mut self, cx: &mut Cx<'_>, again: bool) {
        if let Some(informing) = &mut self.informing {
            informing.tx = None;
            if !again {
                informing.waiting.pop_front();
            }
        }
        self.send_info(cx);
    }
}
