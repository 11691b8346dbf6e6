//! What an agent asks of its call.

use std::collections::VecDeque;

use trunkline_routing::RouteTable;
use trunkline_sdp::Member;
use trunkline_sdp::control::{AgentAsk, AgentNews, Play, Transcript};
use trunkline_sdp::media::{MediaSpec, Sound};
use trunkline_signalling::dialog::Cx;

use super::Call;
use crate::Output;

/// Most pieces of a conversation that a record holds; further ones are left out.
const MAX_PIECES: usize = 2000;
/// Most bytes of them.
const MAX_TRANSCRIPT: usize = 256 * 1024;

impl Call {
    /// The agent asks something.
    pub(super) fn asked(
        &mut self,
        cx: &mut Cx<'_>,
        table: &RouteTable,
        ask: AgentAsk,
        out: &mut VecDeque<Output>,
    ) {
        match ask {
            AgentAsk::Transfer { transfer } => self.transfer(cx, table, transfer, out),
            AgentAsk::TransferComplete { transfer_complete } => {
                self.complete_transfer(cx, transfer_complete.agent_stays, out);
            }
            AgentAsk::TransferCancel => self.cancel_transfer(cx, out),
            AgentAsk::Play { play } => self.play(&play, out),
            AgentAsk::Transcript { transcript } => self.note(transcript),
            // No part of a call's own affairs yet.
            AgentAsk::Mute { .. } | AgentAsk::Record { .. } => {}
        }
    }

    /// Plays a sound to a leg, or ends it. While somebody is called for a transfer, what the caller hears is the
    /// transfer's affair.
    fn play(&self, play: &Play, out: &mut VecDeque<Output>) {
        let member = play.participant.as_deref().map_or(Some(Member::FIRST), Member::named);
        let Some(member) = member.filter(|member| self.line(*member).is_some()) else {
            return self.step("the agent plays a sound to nobody who is there");
        };
        if self.transfer.is_some() {
            return self.step("the agent's sound is not played during a transfer");
        }
        let call = self.handle;
        out.push_back(match play.sound.as_str() {
            "" => Output::Hush(call, member),
            name => Output::Play { call, member, sound: Sound::named(name), repeat: play.repeat },
        });
    }

    /// Keeps a piece of the conversation for the record.
    fn note(&mut self, piece: Transcript) {
        let kept: usize = self.transcript.iter().map(|piece| piece.text.len()).sum();
        if self.transcript.len() < MAX_PIECES && kept + piece.text.len() <= MAX_TRANSCRIPT {
            self.transcript.push(piece);
        }
    }

    /// The caller's side has agreed on new terms: the agent is told where it holds the call now, or came back.
    pub(super) fn note_hold(&mut self, spec: &MediaSpec, out: &mut VecDeque<Output>) {
        if self.held == spec.sends {
            self.held = !spec.sends;
            self.tell(AgentNews::Hold { on: self.held }, out);
        }
    }
}
