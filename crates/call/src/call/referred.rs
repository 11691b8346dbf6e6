//! A transfer that the peer asks for (REFER), where its trunk's `accept_refer` lets it: whom it names is called,
//! and takes its place.
//!
//! ```text
//! REFER ─▶ refused: 603
//!   └▶ 202, NOTIFY 100 ─▶ Calling: party ⇄ agent as before ── answered ─▶ Replaced: agent ⇄ who was called
//!                            │ refused, nobody                              │ NOTIFY 200; the old leg's BYE,
//!                            ▼                                              ▼ or ours after 2 s
//!                        NOTIFY with the code; as before                   gone
//! ```
//! A peer that hangs up behind its 202 has gone: the agent waits for who is called. In an attended transfer of the
//! peer's the REFER names a call of its own that ours is to replace (RFC 5589 §7): our INVITE repeats that.

use std::collections::VecDeque;

use trunkline_routing::{RouteTable, decide_transfer};
use trunkline_sdp::control::{AgentNews, Transfer, TransferMode};
use trunkline_sdp::{Hearing, Member, Members};
use trunkline_signalling::dialog::{Cx, ReferIn};
use trunkline_sip::headers::Replaces;
use trunkline_sip::text::OneLine;

use super::transfer::{MAX_TRANSFERS, PEER_HANGS_UP, Stage, Transferring, Wish};
use super::{Call, Phase};
use crate::{EndedBy, Output};

impl Call {
    /// Whom the peer wants us to call, told once.
    pub(crate) fn take_asked(&mut self) -> Option<(Member, ReferIn)> {
        self.asked.take()
    }

    /// The peer wants us to call somebody, or an agent on SIP does.
    pub(crate) fn refer_asked(
        &mut self,
        cx: &mut Cx<'_>,
        table: &RouteTable,
        (asker, refer): &(Member, ReferIn),
        out: &mut VecDeque<Output>,
    ) {
        let (asker, is_partys) = (*asker, *asker == self.party);
        let free = self.phase == Phase::Talking
            && self.transfer.is_none()
            && self.joined.is_none()
            && !self.held
            && self.transfers < MAX_TRANSFERS;
        let fields = fields_of(refer);
        // Fields but Replaces are refused with the address that they stand in.
        let to = if fields.is_some() { refer.to.uri.without_headers() } else { refer.to.uri.as_str() };
        let target = decide_transfer(table, &self.party_route(), &self.host_of(asker), to);
        let (route, fields) = match (target, fields) {
            (Ok(route), Some(fields)) if free && route.bridge.is_ok() && self.agent_here => (route, fields),
            (refused, _) => {
                if let Err(refusal) = refused {
                    let sip_call_id = OneLine(self.first.sip_call_id());
                    // As it is for the debugger: the numbers in it are stars.
                    tracing::info!(call = %self.id, %sip_call_id, reason = ?refusal, "a REFER of the peer's is refused: 603");
                }
                self.on_line(asker, cx, |line, cx| line.leg.answer_refer(cx, 603));
                return;
            }
        };
        self.transfers += 1;
        self.step(if is_partys { "the peer has us call somebody" } else { "the agent has us call somebody" });
        self.on_line(asker, cx, |line, cx| line.leg.answer_refer(cx, 202));
        let ask = Transfer { to: route.to.clone(), mode: TransferMode::Bridge, ..Transfer::default() };
        let stage = Stage::Referring { accepted: true, consult: None };
        let wish = if is_partys { Wish::Peers } else { Wish::Agents(asker) };
        self.transfer = Some(Box::new(Transferring { ask, route, wish, fields, stage, deadline: None }));
        self.call_target(cx, out);
        self.act(cx, out);
    }

    /// Who was called is there: it takes the party's place.
    pub(super) fn takes_place(&mut self, cx: &mut Cx<'_>, member: Member, out: &mut VecDeque<Output>) {
        let old = std::mem::replace(&mut self.party, member);
        self.step("who was called takes the place of who wanted it");
        self.transferred_to = self.transfer.as_ref().map(|transfer| transfer.route.to.clone());
        if let Some(transfer) = &mut self.transfer {
            transfer.stage = Stage::Replaced { old };
            transfer.deadline = Some(cx.now.mono + PEER_HANGS_UP);
        }
        out.push_back(Output::Party(self.handle, member));
        let talkers = Members::of(&[member, self.agent_place()]);
        self.arrange(Hearing::among(talkers), out);
        self.on_line(old, cx, |line, cx| line.leg.notify(cx, 200));
        self.tell(AgentNews::ParticipantJoined { participant: member.to_string() }, out);
        self.tell(AgentNews::ParticipantLeft { participant: old.to_string() }, out);
        if self.line(old).is_none_or(|line| line.leg.is_over()) {
            self.transfer = None;
        }
    }

    /// The leg whose place was taken has not hung up.
    pub(super) fn old_leg_stays(&mut self, cx: &mut Cx<'_>, old: Member, out: &mut VecDeque<Output>) {
        self.transfer = None;
        self.on_line(old, cx, |line, cx| line.leg.hang_up(cx, 480));
        self.act(cx, out);
    }

    /// Nobody came: the peer is told, and things are as before.
    pub(super) fn nobody_came(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut VecDeque<Output>,
        code: Option<u16>,
        called: Option<Member>,
    ) {
        let party = self.party;
        if let Some(called) = called {
            self.on_line(called, cx, |line, cx| line.leg.hang_up(cx, 487));
        }
        self.on_line(party, cx, |line, cx| line.leg.notify(cx, code.unwrap_or(503)));
        if self.line(party).is_none_or(|line| line.leg.is_over()) {
            self.fail(
                cx,
                out,
                480,
                EndedBy::Gateway,
                "the caller left, and who it wanted called did not come",
            );
        }
        self.act(cx, out);
    }

    /// The party has hung up. Whether the call goes on, since somebody is called to take its place.
    pub(super) fn party_goes(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) -> bool {
        let calling = self.transfer.as_ref().is_some_and(|transfer| {
            transfer.wish == Wish::Peers && matches!(transfer.stage, Stage::Calling { .. })
        });
        if calling {
            self.step("the peer left; who it wanted called takes its place");
            self.close_port(self.party, out);
            self.act(cx, out);
        }
        calling
    }
}

/// What our INVITE says for the sake of a REFER: who wanted it, and which dialog it replaces. `None` where the REFER
/// would have other fields, or a Replaces that is none.
fn fields_of(refer: &ReferIn) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<_> = refer.by.iter().map(|by| ("Referred-By".to_owned(), by.clone())).collect();
    let mut wanted = refer.to.uri.headers();
    if let Some((name, value)) = wanted.next() {
        let replaces = Replaces::parse(&value).map(|replaces| replaces.to_string())?;
        let fine =
            name.eq_ignore_ascii_case("replaces") && replaces.bytes().all(|byte| byte.is_ascii_graphic());
        if !fine || wanted.next().is_some() {
            return None;
        }
        fields.push(("Replaces".to_owned(), replaces));
        fields.push(("Require".to_owned(), "replaces".to_owned()));
    }
    Some(fields)
}
