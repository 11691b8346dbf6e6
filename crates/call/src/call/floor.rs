//! Who may speak: hold by us and by the peer, mute.
//!
//! ```text
//! Talking ── hold ─▶ re-INVITE sendonly, the party hears music and nobody hears it ── resume ─▶ Talking
//! ```
//! A peer that refuses the re-INVITE is held all the same: it hears music.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_sdp::control::{AgentNews, Mute};
use trunkline_sdp::media::Sound;
use trunkline_sdp::{Direction, Hearing, Member, Members};
use trunkline_signalling::dialog::Cx;
use trunkline_sip::text::OneLine;

use super::{Call, Phase};
use crate::Output;

impl Call {
    /// Holds the party, or comes back to it.
    pub(crate) fn hold(&mut self, cx: &mut Cx<'_>, on: bool, out: &mut VecDeque<Output>) {
        let free = self.phase == Phase::Talking && self.transfer.is_none() && !self.announce;
        if !free || self.held == on {
            return;
        }
        self.held = on;
        self.step(if on { "the party is held" } else { "the party is held no more" });
        let (call, member) = (self.handle, self.party);
        let direction = if on { Direction::SendOnly } else { Direction::SendRecv };
        match on {
            true => out.push_back(Output::Play { call, member, sound: Sound::Music, repeat: true }),
            false => self.end_sound(out),
        }
        self.seat(out);
        self.on_line(member, cx, |line, cx| {
            if let Some(sdp) = line.new_offer(direction) {
                line.leg.reoffer(cx, &sdp);
            }
        });
        self.act(cx, out);
    }

    /// What the peer answers to an offer of ours in mid-call. After a refusal what was agreed on stays.
    pub(super) fn reoffered(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        answer: Result<Bytes, u16>,
        out: &mut VecDeque<Output>,
    ) {
        let call = self.handle;
        let Ok(body) = answer else { return self.step("the peer refused our new offer") };
        let agreed = self.on_line(member, cx, |line, _| {
            let selection = line.accept(&body)?;
            Ok::<_, String>(line.agree(selection))
        });
        match agreed {
            Some(Ok(spec)) => out.extend(spec.map(|spec| Output::UpdateMedia(call, member, spec))),
            Some(Err(reason)) => {
                let sip_call_id = OneLine(self.first.sip_call_id());
                tracing::info!(call = %self.id, %sip_call_id, %member, %reason, "the answer to our new offer does not fit it");
            }
            None => {}
        }
    }

    /// The peer holds us, or has come back.
    pub(super) fn peer_holds(&mut self, member: Member, on: bool, out: &mut VecDeque<Output>) {
        if member == self.party && self.holds != on {
            self.holds = on;
            self.tell(AgentNews::Hold { on }, out);
        }
    }

    /// Has nobody hear somebody, or has it heard again.
    pub(super) fn mute(&mut self, mute: &Mute, out: &mut VecDeque<Output>) {
        let Some(member) = self.named(&mute.participant).filter(|_| self.phase == Phase::Talking) else {
            return;
        };
        self.muted = if mute.on { self.muted.with(member) } else { self.muted.without(member) };
        self.arrange(self.hearing, out);
    }

    /// The member of that name: `caller`, `agent`, or as `participant_joined` told it.
    fn named(&self, name: &str) -> Option<Member> {
        match name {
            "caller" | "callee" => Some(self.party),
            "agent" => Some(self.agent_place()),
            other => self.members().into_iter().find(|member| member.to_string() == other),
        }
    }

    /// Who hears whom while no transfer is under way.
    pub(super) fn seat(&mut self, out: &mut VecDeque<Output>) {
        let mut talkers = self.joined.map_or(Members::NONE, |member| Members::of(&[member]));
        if self.agent_here {
            talkers = talkers.with(self.agent_place());
        }
        if !self.held {
            talkers = talkers.with(self.party);
        }
        self.arrange(Hearing::among(talkers), out);
    }

    /// The party hears the others again instead of a sound; music while it is held or its agent is sought.
    pub(super) fn end_sound(&self, out: &mut VecDeque<Output>) {
        let (call, member) = (self.handle, self.party);
        let waits = self.agent_away && self.agent_here && self.joined.is_none();
        out.push_back(match self.held || waits {
            true => Output::Play { call, member, sound: Sound::Music, repeat: true },
            false => Output::Hush(call, member),
        });
    }

    /// Arranges who hears whom; whoever is muted is heard by nobody.
    pub(super) fn arrange(&mut self, mut hearing: Hearing, out: &mut VecDeque<Output>) {
        self.hearing = hearing;
        self.muted.iter().for_each(|member| hearing.mute(member));
        out.push_back(Output::Arrange(self.handle, hearing));
    }
}
