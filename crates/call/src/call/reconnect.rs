//! An agent that was lost in mid-call and comes again, where its `reconnect_seconds` let it.
//!
//! ```text
//!           its connection broke: DropAgent, Play music, ConnectAgent again
//! There ──────────────────────────────────────────────────────────────────▶ Away
//!   ▲                                                                        │
//!   └──────────────── AgentConnected: Hush ──────────────────────────────────┤
//!                                                     not reached in time: the call ends
//! ```
//! It gets the ids that it had, and is told that it was there before. The edge dials it until the time is over.
//! One that comes and is lost at once has no new time: its time is whole again once it has stayed for as long.

use std::collections::VecDeque;

use trunkline_sdp::media::Sound;
use trunkline_signalling::Mono;
use trunkline_signalling::dialog::Cx;

use super::line::Line;
use super::{Call, Phase};
use crate::{Again, EndedBy, Output};

/// What such an agent is told beside what it was told before.
const PARAMETER: (&str, &str) = ("reconnected", "true");

/// The last search for the agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    /// When its time is over, from the first loss on.
    ends: Mono,
    /// When the agent was there again.
    found: Mono,
}

impl Call {
    /// The agent's connection broke. True where it is sought; else the call is to end, or a transfer goes on
    /// without it.
    pub(super) fn seeks_agent(&mut self, now: Mono, out: &mut VecDeque<Output>) -> bool {
        let window = self.route.agent.reconnect;
        let left = |line: &Line| line.member == self.party || !line.leg.is_confirmed();
        let alone = self.lines().all(left) && self.transfer.is_none();
        if self.phase != Phase::Talking || self.agent_away || window.is_zero() || !alone {
            return false;
        }
        // It did not stay: the search goes on.
        let earlier = self.search.filter(|last| now.since(last.found) < window);
        let ends = earlier.map_or(now + window, |last| last.ends);
        if ends <= now {
            return false;
        }
        self.step("the agent's connection broke; it is sought");
        self.search = Some(Search { ends, found: now });
        self.agent_away = true;
        let (call, member) = (self.handle, self.party);
        out.push_back(Output::DropAgent(call));
        out.push_back(Output::Play { call, member, sound: Sound::Music, repeat: true });
        let mut request = self.agent_request();
        request.again = Some(Again { window: ends.since(now), repeated: earlier.is_some() });
        request.parameters.reveal_mut().push((PARAMETER.0.to_owned(), PARAMETER.1.to_owned()));
        out.push_back(Output::ConnectAgent(call, Box::new(request)));
        true
    }

    /// What came of it.
    pub(super) fn agent_sought(
        &mut self,
        cx: &mut Cx<'_>,
        outcome: Result<(), String>,
        out: &mut VecDeque<Output>,
    ) {
        self.agent_away = false;
        self.search = self.search.map(|search| Search { found: cx.now.mono, ..search });
        match outcome {
            Ok(()) => {
                if !self.agent_here {
                    // A transfer was completed while it was away: there is nobody left for it to talk to.
                    return out.push_back(Output::DropAgent(self.handle));
                }
                self.step("the agent is there again");
                // A transfer that has begun meanwhile has its own played.
                if !self.transfer.as_ref().is_some_and(|transfer| transfer.has_sound()) {
                    self.end_sound(out);
                }
            }
            Err(_) if self.goes_on_without_agent(cx, out) => {}
            Err(why) => {
                let reason = format!("the agent's connection broke, and it did not come again: {why}");
                self.fail(cx, out, 480, EndedBy::Agent, &reason);
            }
        }
    }
}
