//! What an agent or the API asks of a live call's room: its recording, sounds; what was said.

use std::collections::VecDeque;

use trunkline_sdp::Member;
use trunkline_sdp::control::{Play, Recording, Transcript};
use trunkline_sdp::media::Sound;
use trunkline_sip::text::OneLine;

use super::{Call, Phase};
use crate::Output;

/// Most pieces of a conversation that a record holds; further ones are left out.
const MAX_PIECES: usize = 2000;
/// Most bytes of them.
const MAX_TRANSCRIPT: usize = 256 * 1024;

/// How often the recording of one call may be begun: each makes a file.
const MAX_RECORDINGS: u8 = 20;

impl Call {
    /// Begins, pauses, resumes or ends the recording of an answered call.
    pub(crate) fn record(&mut self, task: Recording, out: &mut VecDeque<Output>) {
        if self.phase != Phase::Talking {
            return;
        }
        if task == Recording::Start {
            if self.recordings == MAX_RECORDINGS {
                return self.step("a further recording is not begun: the call has had as many as it may");
            }
            self.recordings += 1;
        }
        self.step(match task {
            Recording::Start => "the recording is to begin",
            Recording::Pause => "the recording is to pause",
            Recording::Resume => "the recording is to go on",
            Recording::Stop => "the recording is to end",
        });
        out.push_back(Output::Record { call: self.handle, call_id: self.id.clone(), task });
    }

    /// Plays a sound to somebody instead of what it would hear, or no more where none is named; not while a
    /// transfer or a hold has its own played.
    pub(crate) fn play(&mut self, play: &Play, out: &mut VecDeque<Output>) {
        let member = self.leg_named(play.participant.as_deref());
        let free = self.transfer.is_none() && !self.held;
        let (Some(member), Phase::Talking, true) = (member, self.phase, free) else { return };
        out.push_back(match play.sound.as_str() {
            "" => Output::Hush(self.handle, member),
            name => {
                Output::Play { call: self.handle, member, sound: Sound::named(name), repeat: play.repeat }
            }
        });
    }

    /// Keeps a piece of the conversation for the record.
    pub(super) fn note(&mut self, piece: Transcript) {
        let kept: usize = self.transcript.iter().map(|piece| piece.text.len()).sum();
        if self.transcript.len() < MAX_PIECES && kept + piece.text.len() <= MAX_TRANSCRIPT {
            self.transcript.push(piece);
        }
    }

    /// The leg of that name, as `participant_joined` tells it; the party where none is named.
    fn leg_named(&self, name: Option<&str>) -> Option<Member> {
        match name {
            None | Some("caller" | "callee") => Some(self.party),
            Some(name) => {
                let mut legs = (0..Member::COUNT).filter_map(Member::leg);
                legs.find(|leg| leg.to_string() == name)
            }
        }
    }

    /// A recording has ended.
    pub(super) fn recording_ended(&mut self, file: &str, milliseconds: u64, problem: Option<&str>) {
        let seconds = milliseconds / 1000;
        let sip_call_id = OneLine(self.first.sip_call_id());
        match problem {
            Some(problem) => {
                self.step("the recording was cut short");
                tracing::warn!(call = %self.id, %sip_call_id, file, seconds, problem, "a recording was cut short");
            }
            None => tracing::info!(call = %self.id, %sip_call_id, file, seconds, "a recording is whole"),
        }
    }
}
