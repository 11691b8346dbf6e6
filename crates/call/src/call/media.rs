//! What the peers of a call's legs negotiate in mid-call: re-INVITE, UPDATE, the late answer.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_sdp::{Direction, Member};
use trunkline_signalling::dialog::{Cx, OfferIn};
use trunkline_sip::Request;
use trunkline_sip::text::OneLine;

use super::{Call, Phase};
use crate::{EndedBy, Output};

impl Call {
    /// The ACK of our answer; with the caller's answer where the offer was ours.
    pub(super) fn acknowledged(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        answer: Option<Bytes>,
        out: &mut VecDeque<Output>,
    ) {
        self.step("acknowledged");
        let Some(line) = self.line_mut(member) else { return };
        let Some(body) = answer else {
            if line.selection.is_none() && self.phase == Phase::Talking {
                self.fail(cx, out, 488, EndedBy::Gateway, "the ACK has no answer to our offer");
            }
            return;
        };
        match line.accept(&body) {
            Ok(selection) => {
                let spec = line.spec(&selection);
                line.selection = Some(selection);
                out.push_back(Output::UpdateMedia(self.handle, member, spec));
            }
            Err(reason) => self.fail(cx, out, 488, EndedBy::Gateway, &reason),
        }
    }

    /// A re-INVITE or UPDATE of a peer: hold, resume, another address, another codec.
    pub(super) fn peer_offer(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        offer: OfferIn,
        out: &mut VecDeque<Output>,
    ) {
        let takes = matches!(self.phase, Phase::Talking | Phase::Announcing | Phase::Ringing);
        let settled = self.on_line(member, cx, |line, cx| {
            if !takes || line.local.is_none() {
                line.leg.refuse_offer(cx, 488);
                return Ok(None);
            }
            let body = match offer {
                OfferIn::Wanted => {
                    match line.new_offer(Direction::SendRecv) {
                        Some(sdp) => line.leg.accept_offer(cx, &sdp),
                        None => line.leg.refuse_offer(cx, 488),
                    }
                    return Ok(None);
                }
                OfferIn::Given(body) => body,
            };
            match line.take_offer(&body) {
                Ok((sdp, spec)) => {
                    line.leg.accept_offer(cx, &sdp);
                    Ok(Some(spec))
                }
                // What was agreed on before stays in force (RFC 6141).
                Err(reason) => {
                    line.leg.refuse_offer(cx, 488);
                    Err(reason)
                }
            }
        });
        match settled {
            Some(Ok(Some(spec))) => {
                self.step("the peer's new offer is taken");
                self.peer_holds(member, !spec.sends, out);
                out.push_back(Output::UpdateMedia(self.handle, member, spec));
            }
            Some(Err(reason)) => {
                let sip_call_id = OneLine(self.first.sip_call_id());
                tracing::info!(call = %self.id, %sip_call_id, %member, %reason, "the peer's new offer is refused: 488");
            }
            Some(Ok(None)) | None => {}
        }
    }
}

/// The key press in an INFO: `application/dtmf-relay` names it in a line `Signal=5`, `application/dtmf` is the
/// key alone.
pub(super) fn info_digit(info: &Request) -> Option<char> {
    let relayed = info.body_of("application/dtmf-relay");
    let body =
        relayed.as_ref().map_or_else(|| info.body_of("application/dtmf"), |body| Some(body.clone()))?;
    let text = std::str::from_utf8(&body).ok()?;
    let signal = |line: &str| {
        let (name, value) = line.split_once('=')?;
        name.trim().eq_ignore_ascii_case("signal").then(|| value.trim().to_owned())
    };
    let key = if relayed.is_some() { text.lines().find_map(signal)? } else { text.trim().to_owned() };
    match key.as_str() {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => {
            let mut keys = key.chars().map(|c| c.to_ascii_uppercase());
            let fine = |c: &char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D');
            keys.next().filter(fine).filter(|_| keys.next().is_none())
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trunkline_sip::{HeaderName, Method};

    use super::*;

    #[test]
    fn key_presses_in_infos_are_read_in_both_forms() {
        for (kind, body, key) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some('5')),
            ("application/dtmf-relay", "signal= * \r\n", Some('*')),
            ("application/dtmf-relay", "Duration=160\r\nSignal=11\r\n", Some('#')),
            ("application/dtmf", "d", Some('D')),
            ("application/dtmf", "12", None),
            ("application/dtmf", "", None),
            ("text/plain", "5", None),
        ] {
            let mut info = Request::new(Method::Info, "sip:x".to_owned());
            info.headers.push(HeaderName::ContentType, kind);
            info.body = Bytes::copy_from_slice(body.as_bytes());
            assert_eq!(info_digit(&info), key, "{kind} {body}");
        }
    }
}
