//! 2xx to an INVITE of ours that nobody waits for any more: from another branch of a fork, or after we
//! gave up. Each is acknowledged and its dialog ended (RFC 3261 §13.2.2.4).

use trunkline_sip::{Method, Response};

use super::leg::Cx;
use super::state::Dialog;

/// Dialogs of one INVITE that are ended so; a fork has a handful. Beyond it nothing is sent: a peer
/// that makes up tags gets no BYE for each.
const MAX_LATE: usize = 8;

/// The tags of the dialogs that were ended.
#[derive(Debug, Default)]
pub struct LateAnswers(Vec<String>);

impl LateAnswers {
    /// Acknowledges a 2xx; one that makes another dialog than `ours` is ended too, the first time.
    pub fn handle(&mut self, cx: &mut Cx<'_>, ours: &Dialog, response: &Response) {
        let Some(tag) = response.to().and_then(|to| to.tag()) else { return };
        let Some(number) = response.cseq().map(|cseq| cseq.number) else { return };
        if tag == ours.remote_tag {
            let ack = ours.ack(number, cx.tokens);
            return cx.transactions.send(ack.to_bytes(), ours.target());
        }
        let known = self.0.iter().any(|known| known == tag);
        if !known && self.0.len() == MAX_LATE {
            return;
        }
        let mut other = ours.clone();
        other.take_response(response);
        let ack = other.ack(number, cx.tokens);
        cx.transactions.send(ack.to_bytes(), other.target());
        if !known {
            self.0.push(tag.to_owned());
            let bye = other.request(Method::Bye, cx.tokens);
            cx.transactions.request(bye, other.target(), cx.now.mono);
        }
    }
}

/// Whether a response is a 2xx to an INVITE.
pub(super) fn is_ok_to_invite(response: &Response) -> bool {
    (200..300).contains(&response.code()) && response.cseq().is_some_and(|cseq| cseq.method == Method::Invite)
}
