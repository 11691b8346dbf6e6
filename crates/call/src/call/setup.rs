//! From INVITE to 200.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use trunkline_routing::{Agent, Caller, Connect, Number, Pii, Route, RouteTable, Trunk, hides};
use trunkline_sdp::Member;
use trunkline_sdp::control::AgentAsk;
use trunkline_signalling::dialog::{Cx, Ended};
use trunkline_sip::Request;
use trunkline_sip::text::OneLine;

use super::line::Port;
use super::{Call, Phase, caller_text};
use crate::{AgentRequest, EndedBy, Output, RoomEvent};

/// The route of a call that only hears the announcement.
pub(crate) fn announcement_route(request: &Request, number: Arc<Number>, trunk: Arc<Trunk>) -> Box<Route> {
    let (caller, _) = Caller::of(request, &trunk);
    Box::new(Route {
        agent: RouteTable::announcer(),
        caller,
        attributes: Pii::default(),
        hide_phone_number: hides(&number, &trunk),
        called: number.number.into(),
        ringing_timeout: std::time::Duration::from_secs(30),
        max_call_duration: std::time::Duration::from_secs(60),
        number,
        trunk,
    })
}

impl Call {
    /// Rings at once and asks for the room and the agent.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        // The leg may have refused the INVITE already: a session interval that is too short.
        if self.first.leg.invite().is_none() {
            return self.leg_ended(cx.now, Ended::Rejected(422), out);
        }
        tracing::debug!(
            call = %self.id,
            sip_call_id = %OneLine(self.first.sip_call_id()),
            trunk = %self.route.trunk.name,
            agent = %self.route.agent.name,
            peer = %self.first.leg.dialog().flow.remote,
            "a call begins"
        );
        self.ring(cx, 100, None);
        if let Err(reason) = self.first.read_offer() {
            return self.fail(cx, out, 488, EndedBy::Gateway, &reason);
        }
        // A reliable 180 to an INVITE without an offer would have to carry ours, and there is no port
        // for it yet (RFC 3261 §13.2.1): such a caller hears of us with the 200.
        let must_offer = self.first.offer.is_none() && self.first.leg.rings_reliably();
        if !self.announce && !must_offer {
            self.ring(cx, 180, None);
        }
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        out.push_back(Output::OpenMedia {
            call: self.handle,
            member: Member::FIRST,
            local: self.first.near(),
            spec: self.first.selection.as_ref().map(|selection| self.first.spec(selection)),
        });
        self.act(cx, out);
    }

    fn ring(&mut self, cx: &mut Cx<'_>, code: u16, sdp: Option<&str>) {
        self.on_line(Member::FIRST, cx, |line, cx| line.leg.ring(cx, code, sdp));
    }

    /// The room is open, or no port was free.
    pub(crate) fn media_opened(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        opened: Option<SocketAddr>,
        out: &mut VecDeque<Output>,
    ) {
        if member != Member::FIRST {
            return self.leg_media_opened(cx, member, opened, out);
        }
        if self.phase != Phase::SettingUp {
            // Too late: what was opened is released.
            if opened.is_some() {
                out.push_back(Output::CloseRoom(self.handle));
            }
            return;
        }
        let Some(address) = opened else {
            return self.fail(cx, out, 503, EndedBy::Gateway, "no media port is free");
        };
        tracing::debug!(call = %self.id, sip_call_id = %OneLine(self.first.sip_call_id()), %address, "the media port is open");
        self.first.has_port(address);
        self.first.port = Port::Open;
        if self.route.number.noise_suppression {
            out.push_back(Output::SuppressNoise(self.handle, Member::FIRST));
        }
        // Not before there is a port: an agent is not called for nothing.
        if self.calls_agent(cx, out) {
            return self.act(cx, out);
        }
        out.push_back(Output::ConnectAgent(self.handle, Box::new(self.agent_request())));
        self.proceed(cx, out);
    }

    /// The agent is in the room, or cannot be had.
    pub(crate) fn agent_connected(
        &mut self,
        cx: &mut Cx<'_>,
        outcome: Result<(), String>,
        out: &mut VecDeque<Output>,
    ) {
        if self.phase == Phase::Talking && self.agent_away {
            return self.agent_sought(cx, outcome, out);
        }
        if self.phase != Phase::SettingUp {
            out.push_back(Output::CloseRoom(self.handle));
            return;
        }
        match outcome {
            Ok(()) => {
                self.step("the agent is there");
                self.agent_ready = true;
                self.proceed(cx, out);
            }
            Err(reason) => self.fail(cx, out, 480, EndedBy::Gateway, &reason),
        }
    }

    /// Something happened in the room.
    pub(crate) fn room_event(
        &mut self,
        cx: &mut Cx<'_>,
        table: &RouteTable,
        event: RoomEvent,
        out: &mut VecDeque<Output>,
    ) {
        let (by, reason) = match event {
            RoomEvent::AgentLeft if self.announce => (EndedBy::Gateway, "number not in service"),
            RoomEvent::AgentLeft if self.goes_on_without_agent(cx, out) => return,
            RoomEvent::AgentLeft => (EndedBy::Agent, "the agent left"),
            RoomEvent::AgentLost if self.seeks_agent(cx.now.mono, out) => return,
            RoomEvent::AgentLost if self.goes_on_without_agent(cx, out) => return,
            RoomEvent::AgentLost => (EndedBy::Agent, "the agent's connection broke"),
            RoomEvent::NoMedia(member) if member == self.party => {
                (EndedBy::Gateway, "no media from the caller")
            }
            RoomEvent::NoMedia(member) => {
                self.on_line(member, cx, |line, cx| line.leg.hang_up(cx, 480));
                self.target_gone(cx, member, None, out);
                return self.act(cx, out);
            }
            RoomEvent::Failed(what) => (EndedBy::Gateway, what),
            RoomEvent::Digit(member, key) => return self.key_pressed(cx, member, key, out),
            RoomEvent::Pressing(member, key) => return self.press_by_info(cx, member, key),
            RoomEvent::Heard(..) => return,
            RoomEvent::Ask(ask) => return self.asked(cx, table, *ask, out),
            RoomEvent::RecordingEnded { file, milliseconds, problem } => {
                return self.recording_ended(&file, milliseconds, problem.as_deref());
            }
            // Prompts are timed by their answers.
            RoomEvent::Played(_) => return,
            RoomEvent::Unplayed(member, why) => {
                return self.warn(&format!("a sound for {member} cannot be played: {why}"));
            }
            RoomEvent::Unheard(count) => {
                return self.warn(&format!("an agent or a peer asks too much; not passed on: {count}"));
            }
        };
        self.fail(cx, out, 480, by, reason);
    }

    /// The agent asks something.
    fn asked(&mut self, cx: &mut Cx<'_>, table: &RouteTable, ask: AgentAsk, out: &mut VecDeque<Output>) {
        match ask {
            AgentAsk::Transfer { transfer } => self.transfer(cx, table, transfer, out),
            AgentAsk::TransferComplete { transfer_complete } => {
                self.complete_transfer(cx, transfer_complete.agent_stays, out);
            }
            AgentAsk::TransferCancel => self.cancel_transfer(cx, out),
            AgentAsk::Mute { mute } => self.mute(&mute, out),
            AgentAsk::Play { play } => self.play(&play, out),
            AgentAsk::Record { record } => self.record(record, out),
            AgentAsk::Transcript { transcript } => self.note(transcript),
        }
    }

    /// Answers once both the room and the agent are there.
    pub(super) fn proceed(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if self.first.local.is_none() || !self.agent_ready {
            return;
        }
        if self.is_outgoing() {
            return self.invite(cx, out);
        }
        let sdp = match self.first.answer_to_invite() {
            Ok(sdp) => sdp,
            Err(reason) => return self.fail(cx, out, 488, EndedBy::Gateway, &reason),
        };
        let early = self.announce && self.first.offer.is_some();
        if early {
            self.step("the announcement is played in a 183");
            self.phase = Phase::Announcing;
            self.ring(cx, 183, Some(&sdp));
            self.deadline = Some(cx.now.mono + self.route.max_call_duration);
        } else {
            self.step("answered with 200");
            self.phase = Phase::Talking;
            self.on_line(Member::FIRST, cx, |line, cx| line.leg.answer(cx, &sdp));
            self.sip_code = 200;
            self.answered = Some(cx.now);
            self.deadline = Some(cx.now.mono + self.route.max_call_duration);
            out.push_back(Output::Answered(self.handle, cx.now, cx.now.mono.since(self.started.mono)));
        }
        out.push_back(Output::StartRoom(self.handle));
        self.act(cx, out);
    }

    pub(super) fn agent_request(&self) -> AgentRequest {
        let caller = caller_text(&self.route.caller, self.route.hide_phone_number);
        let called = self.route.called.to_string();
        let mut parameters = vec![
            ("from_number".to_owned(), caller.clone()),
            ("to_number".to_owned(), called.clone()),
            ("system__caller_id".to_owned(), caller),
            ("system__called_number".to_owned(), called),
        ];
        let variables = self.outgoing.as_ref().map_or(&[][..], |outgoing| outgoing.variables.reveal());
        let more = variables.iter().chain(&self.route.number.metadata).chain(self.route.attributes.reveal());
        for (name, value) in more {
            let tells = matches!(name.as_str(), "caller_name" | "identity" | "diversion");
            let hidden = self.route.hide_phone_number && tells;
            if !hidden && !parameters.iter().any(|(known, _)| known == name) {
                parameters.push((name.clone(), value.clone()));
            }
        }
        AgentRequest {
            agent: Arc::clone(&self.route.agent),
            call_id: self.id.clone(),
            sip_call_id: self.first.sip_call_id().to_owned(),
            direction: self.direction(),
            parameters: Pii::new(parameters),
            again: None,
        }
    }
}

/// Whether an agent is one of ours, so that a call with it needs no network.
#[must_use]
pub(super) fn is_builtin(agent: &Agent) -> bool {
    matches!(agent.connect, Connect::Builtin(_))
}
