//! REFER (RFC 3515, 3892, 4488): we have the peer call somebody else and follow how that goes, or the
//! peer wants us to call somebody.
//!
//! ```text
//! ours:   refer ─▶ Asked ── 2xx, or a NOTIFY before it ─▶ Followed ── final sipfrag, or terminated ─▶ over
//!         (behind   │ 401, 407: once more with the answer
//!         an ACK)   └── 300 and more ─▶ refused, over; no answer at all: unanswered, over
//! peer's: REFER ─▶ Wanted ── answer_refer 202 ─▶ Subscribed ── notify 100, at last a final code ─▶ over
//!                   │               (a NOTIFY that is challenged: 401, 407: once more with the answer)
//!                   └── 603 ─▶ over
//! ```
//! For how long a transfer is followed is the call's affair.

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, NameAddr, Request, Response, headers, reason_phrase, reply};

use super::leg::{Cx, Ended, Leg, LegEvent, State, respond};
use crate::{ClientId, ServerId};

/// How long the peer may expect to hear of its REFER, in seconds: longer than any ringing.
const SUBSCRIPTION: u32 = 300;

/// Whom the peer is to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referral {
    /// Refer-To.
    pub to: String,
    /// Referred-By.
    pub by: String,
}

/// How a REFER of ours goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referred {
    /// The peer takes it.
    Accepted,
    /// The peer refuses, with that code.
    Refused(u16),
    /// The peer does not answer.
    Unanswered,
    /// What a NOTIFY tells.
    Progress {
        /// The code that the peer has from whom it calls, where the NOTIFY says it.
        code: Option<u16>,
        /// Nothing more will come.
        over: bool,
    },
}

/// A REFER of the peer's, to be settled by [`Leg::answer_refer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferIn {
    /// Whom to call.
    pub to: NameAddr,
    /// Who wants it, as the request that it leads to repeats (RFC 3892 §2.2).
    pub by: Option<String>,
}

/// What a leg keeps of REFERs, once there was one.
#[derive(Debug, Default)]
pub(super) struct Referrals {
    ours: Option<Ours>,
    /// There was one of ours: NOTIFYs that come late are answered.
    known: bool,
    theirs: Option<Theirs>,
    telling: Option<Telling>,
}

#[derive(Debug)]
struct Ours {
    referral: Referral,
    /// It waits for the ACK of our 2xx: before it the peer has no dialog to speak of.
    waits: bool,
    tx: Option<ClientId>,
    /// CSeq of the REFER as last sent, which names the subscription.
    cseq: u32,
    /// It is the dialog's first: its NOTIFYs may leave the name out (RFC 3515 §2.4.6).
    first: bool,
}

impl Ours {
    /// Whether a NOTIFY of that Event is about it, and not about an earlier REFER.
    fn is_told_by(&self, event: &str) -> bool {
        let id = event.split(';').skip(1).find_map(|param| {
            let (name, value) = param.split_once('=')?;
            name.trim().eq_ignore_ascii_case("id").then(|| value.trim())
        });
        id.map_or(self.first, |id| id.parse() == Ok(self.cseq))
    }
}

#[derive(Debug)]
struct Theirs {
    request: Box<Request>,
    /// While it has no answer.
    tx: Option<ServerId>,
    /// CSeq of the REFER, which names the subscription.
    id: u32,
    /// The peer wants no NOTIFY (RFC 4488).
    quiet: bool,
}

/// A NOTIFY of ours that has no answer.
#[derive(Debug, Clone, Copy)]
struct Telling {
    tx: ClientId,
    /// The subscription, and what it is told.
    id: u32,
    code: u16,
}

impl Leg {
    /// Has the peer call somebody; false where the dialog is not up or another REFER is under way.
    pub fn refer(&mut self, cx: &mut Cx<'_>, referral: Referral) -> bool {
        let busy = self.referrals.as_ref().is_some_and(|known| known.ours.is_some());
        if busy || !self.is_confirmed() {
            return false;
        }
        let waits = self.unacked.is_some();
        let referrals = self.referrals.get_or_insert_default();
        let first = !std::mem::replace(&mut referrals.known, true);
        referrals.ours = Some(Ours { referral, waits, tx: None, cseq: 0, first });
        if !waits {
            self.send_refer(cx);
        }
        true
    }

    /// Our 2xx is acknowledged: a REFER that waited goes out.
    pub(super) fn refer_after_ack(&mut self, cx: &mut Cx<'_>) {
        let ours = self.referrals.as_mut().and_then(|known| known.ours.as_mut());
        if ours.is_some_and(|ours| std::mem::take(&mut ours.waits)) {
            self.send_refer(cx);
        }
    }

    fn send_refer(&mut self, cx: &mut Cx<'_>) {
        let Some(ours) = self.referrals.as_ref().and_then(|known| known.ours.as_ref()) else { return };
        let Referral { to, by } = ours.referral.clone();
        let mut request = self.dialog.request(Method::Refer, cx.tokens);
        request.headers.push(HeaderName::ReferTo, to);
        request.headers.push(HeaderName::ReferredBy, by);
        request.headers.push(HeaderName::Supported, "norefersub");
        self.sign(&mut request, cx);
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let tx = cx.transactions.request(request, self.dialog.target(), cx.now.mono);
        if let Some(ours) = self.referrals.as_mut().and_then(|known| known.ours.as_mut()) {
            (ours.tx, ours.cseq) = (Some(tx), cseq);
        }
    }

    /// The transaction of our REFER, while it has no final response.
    pub(super) fn refer_transaction(&self) -> Option<ClientId> {
        self.referrals.as_ref()?.ours.as_ref()?.tx
    }

    pub(super) fn refer_response(&mut self, cx: &mut Cx<'_>, response: &Response) {
        let code = response.code();
        if code < 200 {
            return;
        }
        if self.challenged(response) {
            return self.send_refer(cx);
        }
        let Some(referrals) = &mut self.referrals else { return };
        if code < 300 {
            if let Some(ours) = &mut referrals.ours {
                ours.tx = None;
            }
            return cx.events.push(LegEvent::Referred(Referred::Accepted));
        }
        referrals.ours = None;
        cx.events.push(LegEvent::Referred(Referred::Refused(code)));
        if code == 481 {
            // The dialog is gone at the peer (RFC 5057 §5.1).
            self.leave(cx, Ended::Lost);
        }
    }

    pub(super) fn refer_unanswered(&mut self, cx: &mut Cx<'_>) {
        if let Some(referrals) = &mut self.referrals {
            referrals.ours = None;
            cx.events.push(LegEvent::Referred(Referred::Unanswered));
        }
    }

    /// Nobody waits for the outcome of our REFER any more.
    pub fn forget_refer(&mut self) {
        if let Some(referrals) = &mut self.referrals {
            referrals.ours = None;
        }
    }

    /// NOTIFY: how our REFER goes. It is answered also when nobody waits for it any more, or it is about an
    /// earlier one.
    pub(super) fn notified(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: &Request) {
        let event = request.headers.text(&HeaderName::Event).unwrap_or_default();
        let package = event.split(';').next().unwrap_or_default().trim();
        if !package.eq_ignore_ascii_case("refer") {
            let mut response = reply::to(request, 489, None);
            response.headers.push(HeaderName::AllowEvents, "refer");
            return cx.transactions.respond(tx, &response, cx.now.mono);
        }
        let Some(referrals) = self.referrals.as_mut().filter(|referrals| referrals.known) else {
            return respond(cx, tx, request, 481, "");
        };
        respond(cx, tx, request, 200, "");
        if !referrals.ours.as_ref().is_some_and(|ours| ours.is_told_by(&event)) {
            return;
        }
        let code = request.body_of("message/sipfrag").and_then(|body| fragment_code(&body));
        let state = request.headers.text(&HeaderName::SubscriptionState).unwrap_or_default();
        let terminated = state.split(';').next().is_some_and(|s| s.trim().eq_ignore_ascii_case("terminated"));
        let over = terminated || code.is_some_and(|code| code >= 200);
        if over {
            referrals.ours = None;
        }
        cx.events.push(LegEvent::Referred(Referred::Progress { code, over }));
    }

    /// REFER: the peer wants us to call somebody.
    pub(super) fn referred(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: Request) {
        if !self.policy.refer || !matches!(self.state, State::Confirmed) {
            return respond(cx, tx, &request, 603, "");
        }
        let all: Vec<NameAddr> = headers::addresses(&request.headers, &HeaderName::ReferTo).collect();
        let Ok([to]) = <[NameAddr; 1]>::try_from(all) else {
            return respond(cx, tx, &request, 400, "");
        };
        let referrals = self.referrals.get_or_insert_default();
        if referrals.theirs.is_some() {
            return respond(cx, tx, &request, 491, "");
        }
        let refer_sub = request.headers.text(&HeaderName::ReferSub).unwrap_or_default();
        let quiet = refer_sub.split(';').next().is_some_and(|s| s.trim().eq_ignore_ascii_case("false"));
        drop(refer_sub);
        let by = request.headers.text(&HeaderName::ReferredBy).map(std::borrow::Cow::into_owned);
        let id = request.cseq().map_or(0, |cseq| cseq.number);
        referrals.theirs = Some(Theirs { request: Box::new(request), tx: Some(tx), id, quiet });
        cx.events.push(LegEvent::Refer(ReferIn { to, by }));
    }

    /// Answers the peer's REFER: 202, and a first NOTIFY where it wants any, or a refusal.
    pub fn answer_refer(&mut self, cx: &mut Cx<'_>, code: u16) {
        let contact = self.dialog.contact();
        let Some(referrals) = &mut self.referrals else { return };
        let Some(theirs) = &mut referrals.theirs else { return };
        let Some(tx) = theirs.tx.take() else { return };
        let mut response = reply::to(&theirs.request, code, None);
        if code >= 300 {
            referrals.theirs = None;
            return cx.transactions.respond(tx, &response, cx.now.mono);
        }
        response.headers.push(HeaderName::Contact, contact);
        if theirs.quiet {
            response.headers.push(HeaderName::ReferSub, "false");
        }
        cx.transactions.respond(tx, &response, cx.now.mono);
        self.notify(cx, 100);
    }

    /// Tells the peer how its REFER goes; a final code is the last that it hears.
    pub fn notify(&mut self, cx: &mut Cx<'_>, code: u16) {
        let Some(theirs) = self.referrals.as_mut().and_then(|known| known.theirs.as_mut()) else { return };
        let (id, quiet) = (theirs.id, theirs.quiet);
        if code >= 200
            && let Some(referrals) = &mut self.referrals
        {
            referrals.theirs = None;
        }
        if !quiet && self.is_confirmed() {
            self.send_notify(cx, id, code);
        }
    }

    fn send_notify(&mut self, cx: &mut Cx<'_>, id: u32, code: u16) {
        let mut request = self.dialog.request(Method::Notify, cx.tokens);
        request.headers.push(HeaderName::Event, format!("refer;id={id}"));
        let state = match code {
            100..=199 => format!("active;expires={SUBSCRIPTION}"),
            _ => "terminated;reason=noresource".to_owned(),
        };
        request.headers.push(HeaderName::SubscriptionState, state);
        request.headers.push(HeaderName::ContentType, "message/sipfrag;version=2.0");
        request.body = Bytes::from(format!("SIP/2.0 {code} {}\r\n", reason_phrase(code)));
        self.sign(&mut request, cx);
        let tx = cx.transactions.request(request, self.dialog.target(), cx.now.mono);
        self.referrals.get_or_insert_default().telling = Some(Telling { tx, id, code });
    }

    /// The transaction of our last NOTIFY, while it has no final response.
    pub(super) fn notify_transaction(&self) -> Option<ClientId> {
        self.referrals.as_ref()?.telling.map(|telling| telling.tx)
    }

    /// The peer has heard it, or asks who tells.
    pub(super) fn notify_response(&mut self, cx: &mut Cx<'_>, response: &Response) {
        if response.code() < 200 {
            return;
        }
        let telling = self.referrals.as_mut().and_then(|known| known.telling.take());
        let again = self.challenged(response) && self.is_confirmed();
        if let Some(Telling { id, code, .. }) = telling.filter(|_| again) {
            self.send_notify(cx, id, code);
        }
    }
}

/// The code in the status line of a `message/sipfrag` (RFC 3420).
fn fragment_code(body: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(body.split(|byte| *byte == b'\n').next()?).ok()?;
    let code: u16 = line.trim().strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()?;
    (100..700).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_read_as_far_as_its_status_line() {
        for (body, code) in [
            ("SIP/2.0 200 OK\r\n", Some(200)),
            ("SIP/2.0 100 Trying", Some(100)),
            ("SIP/2.0 486\r\nVia: x\r\n", Some(486)),
            ("SIP/2.0 999 no\r\n", None),
            ("INVITE sip:x SIP/2.0\r\n", None),
            ("", None),
        ] {
            assert_eq!(fragment_code(body.as_bytes()), code, "{body}");
        }
    }
}
