//! Transfers: the caller is put through to somebody else.
//!
//! ```text
//!           REFER                 202, or a NOTIFY         final 2xx                2 s, then our BYE
//! cold ───────────────▶ Referring ─────────────▶ Referring ─────────▶ Moved ─────────────────────▶ the call is over
//!                          │ refused, final ≥300      │ the peer's BYE ──────────────────────────▶ the call is over
//!                          │                          │ (a consultation lingers: `lingering.rs`)
//!                          ├── fallback, and a definite failure: as bridge
//!                          ▼ else, and where nothing is told in time
//!                        back: caller ⇄ agent, who is told why
//!
//! bridge ─▶ Calling (a second leg) ── answered ─▶ Joined: caller ⇄ callee, the agent leaves
//!              │                  └── key or passcode wanted ─▶ Proving ── right ─▶ Joined
//!              │ refused, nobody, hung up                          │ wrong, none, hung up
//!              ▼                                                   ▼
//!            back ◀────────────────────────────────────────────────┘
//!
//! warm ─▶ Calling ── answered, proved ─▶ Consulting: agent ⇄ supervisor, the caller hears music
//!                                            │ complete ─▶ Joined, or all three together
//!                                            └ cancel, supervisor hung up ─▶ back
//! ```
//! An agent that leaves meanwhile completes a warm transfer; where it comes to *back* and there is no agent any
//! more, the call ends with the reason. The caller's BYE ends everything.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_routing::{RouteTable, TransferRoute, decide_transfer};
use trunkline_sdp::control::{AgentNews, Fallback, Transfer, TransferMode, TransferResult};
use trunkline_sdp::media::Sound;
use trunkline_sdp::{Hearing, Member, Members};
use trunkline_signalling::Mono;
use trunkline_signalling::dialog::{Cx, Referral, Referred};

use super::outcome::refused;
use super::proof::Proof;
use super::{Call, Phase};
use crate::{EndedBy, Output};

/// How long the outcome of a REFER is waited for where neither the transfer nor the number says.
const OUTCOME: Duration = Duration::from_secs(60);
/// Most transfers of one call: whoever asks for more is in a loop, and each may call somebody.
pub(super) const MAX_TRANSFERS: u8 = 20;
/// After a transfer succeeded the peer hangs up; if not, we do.
pub(super) const PEER_HANGS_UP: Duration = Duration::from_secs(2);

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Transferring {
    pub(super) ask: Transfer,
    pub(super) route: TransferRoute,
    pub(super) wish: Wish,
    /// Fields of the second leg's INVITE.
    pub(super) fields: Vec<(String, String)>,
    pub(super) stage: Stage,
    pub(super) deadline: Option<Mono>,
}

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The agent, or the API.
    Ours,
    /// The peer, by a REFER.
    Peers,
    /// An agent that is a SIP endpoint, by a REFER on this leg.
    Agents(Member),
}

/// Where it stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Our REFER is out; whether the peer has taken it, and the leg that it names to be taken over.
    Referring { accepted: bool, consult: Option<Member> },
    /// The carrier has put the caller through; the leg is about to end.
    Moved,
    /// A second leg is called.
    Calling { member: Member },
    /// Who has answered is to prove that it is there, or who it is.
    Proving { member: Member, proof: Proof },
    /// The agent talks to who has answered.
    Consulting { member: Member },
    /// Who was called has the place of this leg, which is about to end.
    Replaced { old: Member },
}

impl Stage {
    /// A leg has the place of another.
    pub(super) fn hand_over(&mut self, old: Member, new: Member) {
        match self {
            Self::Referring { consult: Some(member), .. }
            | Self::Calling { member }
            | Self::Proving { member, .. }
            | Self::Consulting { member }
                if *member == old =>
            {
                *member = new;
            }
            Self::Referring { .. }
            | Self::Moved
            | Self::Calling { .. }
            | Self::Proving { .. }
            | Self::Consulting { .. }
            | Self::Replaced { .. } => {}
        }
    }
}

impl Transferring {
    /// The second leg.
    pub(super) const fn member(&self) -> Option<Member> {
        match self.stage {
            Stage::Referring { consult, .. } => consult,
            Stage::Moved | Stage::Replaced { .. } => None,
            Stage::Calling { member } | Stage::Proving { member, .. } | Stage::Consulting { member } => {
                Some(member)
            }
        }
    }

    /// The leg whose place was taken and that is about to end; with it the transfer does.
    pub(super) const fn replaced(&self) -> Option<Member> {
        match self.stage {
            Stage::Replaced { old } => Some(old),
            _ => None,
        }
    }

    /// Whether the agent talks to who is called before the caller does.
    const fn talks_first(&self) -> bool {
        matches!(self.ask.mode, TransferMode::Warm | TransferMode::Attended)
    }

    /// Whether the party has had a sound played for its sake.
    pub(super) fn has_sound(&self) -> bool {
        self.wish != Wish::Peers && (self.talks_first() || self.member().is_some())
    }

    /// Whether a refusal with that code has us call ourselves: a definite one only, or somebody's telephone
    /// might ring twice. Whom the agent has talked to was called before the REFER.
    fn falls_back(&self, code: u16) -> bool {
        let definite = code >= 400 && !matches!(code, 401 | 407 | 408 | 481 | 491);
        self.ask.fallback == Fallback::Bridge && definite && !self.talks_first()
    }
}

impl Call {
    /// Somebody wants the caller put through.
    pub(crate) fn transfer(
        &mut self,
        cx: &mut Cx<'_>,
        table: &RouteTable,
        ask: Transfer,
        out: &mut VecDeque<Output>,
    ) {
        let refuse = |reason: &str| TransferResult { ok: false, code: None, reason: reason.to_owned() };
        if self.phase != Phase::Talking || self.announce {
            return self.tell_result(refuse("the call is not answered"), out);
        }
        if self.transfer.is_some() || self.joined.is_some() || self.held {
            return self.tell_refusal(refuse("another transfer has the call already, or it is held"), out);
        }
        if let Some(fault) = ask.fault() {
            return self.tell_result(refuse(fault), out);
        }
        let peer = self.peer_host();
        let route = match decide_transfer(table, &self.party_route(), &peer, &ask.to) {
            Ok(route) => route,
            Err(refusal) => return self.tell_result(refuse(&refusal.to_string()), out),
        };
        if self.transfers >= MAX_TRANSFERS {
            return self.tell_result(refuse("the call has had as many transfers as there may be"), out);
        }
        self.transfers += 1;
        self.step("a transfer begins");
        // After a REFER we are out of the path and could ask nobody for a key.
        let proves = ask.requires_confirmation || ask.passcode.is_some();
        let refers = matches!(ask.mode, TransferMode::Cold) && !proves;
        let stage = Stage::Referring { accepted: false, consult: None };
        let refer_to = route.refer_to.clone();
        let (wish, fields) = (Wish::Ours, Vec::new());
        self.transfer = Some(Box::new(Transferring { ask, route, wish, fields, stage, deadline: None }));
        match refers {
            true => self.refer(cx, refer_to, None, out),
            false => self.call_target(cx, out),
        }
    }

    /// Has the party call the target; `consult` is the leg that it is to take over.
    pub(super) fn refer(
        &mut self,
        cx: &mut Cx<'_>,
        to: String,
        consult: Option<Member>,
        out: &mut VecDeque<Output>,
    ) {
        let party = self.party;
        let Some(transfer) = &mut self.transfer else { return };
        transfer.stage = Stage::Referring { accepted: false, consult };
        let seconds = transfer.ask.ringing_timeout_seconds.map(Duration::from_secs);
        transfer.deadline = Some(cx.now.mono + seconds.unwrap_or(OUTCOME));
        let host = self.line(party).map(|line| line.own_host()).unwrap_or_default();
        let by = format!("<sip:{}@{host}>", self.route.number.number);
        let asked = self.on_line(party, cx, |line, cx| line.leg.refer(cx, Referral { to, by }));
        if asked != Some(true) {
            self.back(cx, out, None, "the party's leg takes no REFER at the moment");
        }
        self.act(cx, out);
    }

    /// How our REFER goes.
    pub(super) fn refer_told(&mut self, cx: &mut Cx<'_>, told: Referred, out: &mut VecDeque<Output>) {
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Referring { accepted, .. } = &mut transfer.stage else { return };
        match told {
            Referred::Accepted => *accepted = true,
            Referred::Refused(code) => self.refer_failed(cx, out, code),
            Referred::Unanswered => self.back(cx, out, Some(408), "the carrier did not answer the REFER"),
            Referred::Progress { code: Some(code), .. } if code >= 300 => self.refer_failed(cx, out, code),
            Referred::Progress { code: Some(200..=299), .. } => {
                transfer.stage = Stage::Moved;
                transfer.deadline = Some(cx.now.mono + PEER_HANGS_UP);
                self.through(out);
            }
            Referred::Progress { over: true, .. } => {
                self.back(cx, out, None, "the carrier ended the transfer without an outcome");
            }
            Referred::Progress { over: false, .. } => *accepted = true,
        }
    }

    fn refer_failed(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>, code: u16) {
        if self.transfer.as_ref().is_some_and(|transfer| transfer.falls_back(code)) {
            self.step("the carrier refused the transfer; we call ourselves");
            return self.call_target(cx, out);
        }
        self.back(cx, out, Some(code), &refused(code));
    }

    /// The peer has hung up, and had taken our REFER: it put the caller through.
    pub(super) fn moved_by_bye(&mut self, now: Mono, out: &mut VecDeque<Output>) -> bool {
        match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            Some(Stage::Referring { accepted: true, .. }) => {
                self.linger(now);
                self.through(out);
                if let Some(transfer) = &mut self.transfer {
                    transfer.stage = Stage::Moved;
                }
                true
            }
            Some(Stage::Moved) => true,
            _ => false,
        }
    }

    /// Calls the target ourselves, while the caller hears it ring, or music.
    pub(super) fn call_target(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        let Some(transfer) = &mut self.transfer else { return };
        let (talks, ring) = (transfer.talks_first(), transfer.ask.ringing_timeout_seconds);
        let fields = transfer.fields.clone();
        let route = match &transfer.route.bridge {
            Ok(route) => route.as_ref().clone(),
            Err(refusal) => {
                let reason = refusal.to_string();
                return self.back(cx, out, None, &reason);
            }
        };
        let ring = ring.map_or(route.ringing_timeout, Duration::from_secs);
        let deadline = Some(cx.now.mono + ring);
        let Some(member) = self.add_leg(cx, route, fields, out) else {
            return self.back(cx, out, None, "the call has no place for another leg");
        };
        if let Some(transfer) = &mut self.transfer {
            (transfer.stage, transfer.deadline) = (Stage::Calling { member }, deadline);
            if transfer.wish == Wish::Peers {
                return;
            }
        }
        self.play_while_called(out);
        // The agent hears the telephone ring that it is to talk on; else nobody hears anybody for now.
        let talkers = if talks { Members::of(&[self.agent_place(), member]) } else { Members::NONE };
        self.arrange(Hearing::among(talkers), out);
    }

    /// The party hears music while the agent talks to who is called; else that it rings. Nothing where that is
    /// wanted: nobody is heard by it then.
    pub(super) fn play_while_called(&self, out: &mut VecDeque<Output>) {
        let Some(transfer) = self.transfer.as_ref().filter(|transfer| !transfer.ask.silent) else { return };
        let talks = transfer.talks_first();
        let sound = if talks { Sound::Music } else { Sound::Ringback };
        out.push_back(Output::Play { call: self.handle, member: self.party, sound, repeat: true });
    }

    /// The second leg is answered and can be heard.
    pub(super) fn target_answered(&mut self, cx: &mut Cx<'_>, member: Member, out: &mut VecDeque<Output>) {
        if self.is_calling_agent(member) {
            return self.agent_answered(cx, member, out);
        }
        let Some(transfer) = &mut self.transfer else { return };
        if !matches!(transfer.stage, Stage::Calling { member: called } if called == member) {
            return;
        }
        transfer.deadline = None;
        let Some(proof) = Proof::of(&transfer.ask) else { return self.target_is_there(cx, member, out) };
        transfer.stage = Stage::Proving { member, proof };
        self.arrange(Hearing::default(), out);
        out.push_back(Output::Listen(self.handle, member, true));
        self.ask_for_proof(cx, out);
    }

    /// Who was called is there, and who it should be.
    pub(super) fn target_is_there(&mut self, cx: &mut Cx<'_>, member: Member, out: &mut VecDeque<Output>) {
        let Some(transfer) = &mut self.transfer else { return };
        transfer.deadline = None;
        match transfer.wish {
            Wish::Ours => {}
            Wish::Peers => return self.takes_place(cx, member, out),
            Wish::Agents(agent) => return self.relieves_agent(cx, agent, member, out),
        }
        if transfer.talks_first() && self.agent_here {
            transfer.stage = Stage::Consulting { member };
            self.step("the agent talks to who was called");
            let talkers = Members::of(&[self.agent_place(), member]);
            self.arrange(Hearing::among(talkers), out);
            let participant = member.to_string();
            return self.tell(AgentNews::ParticipantJoined { participant }, out);
        }
        self.join(cx, member, false, out);
    }

    /// What the transfer waited for did not come.
    pub(super) fn transfer_timeout(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        let due = |at: Mono| at <= cx.now.mono;
        let Some(transfer) = self.transfer.as_mut().filter(|t| t.deadline.is_some_and(due)) else { return };
        transfer.deadline = None;
        match transfer.stage {
            Stage::Referring { .. } => self.back(cx, out, None, "the carrier told no outcome in time"),
            Stage::Moved => self.fail(cx, out, 480, EndedBy::Gateway, "transferred"),
            Stage::Calling { .. } => self.back(cx, out, Some(408), "nobody answered in time"),
            Stage::Proving { .. } => self.proof_is_missing(cx, out),
            Stage::Replaced { old } => self.old_leg_stays(cx, old, out),
            Stage::Consulting { .. } => {}
        }
    }
}
