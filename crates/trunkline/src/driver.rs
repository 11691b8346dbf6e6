//! The drivers: each owns one shard, feeds it what the edges learn and does what it asks.
//!
//! One task a shard: wait for an input or the next deadline, hand it over, drain the outputs. A new
//! call is admitted here, before there is any state of it.

mod noted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::Notify;
use trunkline_agent::Sids;
use trunkline_call::{AgentRequest, CallHandle, CallRecord, Input, Output, Shard, TrunkState, TrunkTask};
use trunkline_media::Pool;
use trunkline_routing::{Connect, Pii, RouteTable, Secret, Trunk};
use trunkline_sdp::Member;
use trunkline_sdp::media::Sound;
use trunkline_sip::text::OneLine;
use trunkline_sip::{Flow, Hop, Message, PeerNames};
use trunkline_transport::Transport;

use crate::admission::{Admission, Permit, Shed};
use crate::agents::Agents;
use crate::alarm::Alarm;
use crate::calls::Calls;
use crate::clock::Clock;
pub(crate) use crate::dispatcher::{Dispatcher, Queues};
use crate::links::{TrunkLinks, shown};
use crate::masking::digits_hidden;
use crate::metrics::Metrics;
use crate::recordings::Recordings;
use crate::records::Records;
use crate::trunks::TrunkLoads;

/// Inputs taken at one wake-up before the outputs are drained.
const BATCH: usize = 64;
/// What carriers are told to wait for while we drain, in seconds.
const RETRY_AFTER: u32 = 30;

/// What a shard shows of itself after each turn.
#[derive(Debug, Default)]
pub(crate) struct ShardState {
    pub(crate) transactions: AtomicUsize,
    /// It drains and has no request under way.
    pub(crate) left: AtomicBool,
    /// Asks it for a turn though it has nothing to do.
    pub(crate) probe: Notify,
    /// Its turns so far.
    pub(crate) turns: AtomicU64,
}

/// Calls by their agents' `CA…` identifier, with the agent's secret.
pub(crate) type Sockets = Arc<DashMap<String, (CallHandle, Option<Secret<String>>)>>;

/// Everything that a driver needs beside its shard.
pub(crate) struct Edges {
    pub(crate) transport: Arc<Transport>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) records: Records,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) dispatcher: Dispatcher,
    /// `CA…` identifiers of calls in progress whose agent has a socket, with its secret.
    pub(crate) sids: Sockets,
    pub(crate) table: Arc<ArcSwap<RouteTable>>,
    pub(crate) shards: Arc<[ShardState]>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) trunks: Arc<TrunkLoads>,
    pub(crate) links: Arc<TrunkLinks>,
    pub(crate) recordings: Recordings,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) log_numbers: bool,
    pub(crate) observer: Option<Observer>,
}

impl ShardState {
    fn show(&self, shard: &Shard) {
        self.transactions.store(shard.transactions(), Ordering::Relaxed);
        self.left.store(shard.has_left(), Ordering::Release);
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// A new call was not admitted and has its answer.
struct Refused;

/// Sees every call record; the demo's eye.
pub(crate) type Observer = Arc<dyn Fn(&CallRecord) + Send + Sync>;

/// Drives one shard until its queues close.
pub(crate) async fn drive(mut shard: Shard, mut queues: Queues, edges: Arc<Edges>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut alarm = Alarm::default();
    let states = Arc::clone(&edges.shards);
    let Some(state) = states.get(shard.index()) else { return };
    loop {
        alarm.set(shard.poll_timeout().map(|at| edges.clock.instant(at)));
        tokio::select! {
            biased;
            reply = queues.replies.recv() => match reply {
                Some(reply) => edges.take(&mut shard, reply),
                None => return,
            },
            count = queues.messages.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                for input in batch.drain(..) {
                    edges.take(&mut shard, input);
                }
            }
            () = &mut alarm => shard.handle_timeout(edges.clock.now()),
            () = state.probe.notified() => {}
        }
        edges.settle(&mut shard);
        edges.pool.flush();
        state.show(&shard);
    }
}

impl Edges {
    /// Hands an input to the shard, new calls only where they are admitted. The place that a call was
    /// given is given back where none began.
    fn take(&self, shard: &mut Shard, input: Input) {
        let permit = match &input {
            Input::Message(message, flow, names) => {
                self.metrics.message(message);
                match self.admit(shard, message, *flow, names) {
                    Ok(permit) => permit,
                    Err(Refused) => return,
                }
            }
            Input::Place(_) => Some(self.admission.handed_over()),
            _ => None,
        };
        let Some(permit) = permit else {
            return self.hand_over_to_call(shard, input);
        };
        self.settle(shard);
        let first_leg = self.open_ladder(shard.index(), &input);
        self.hand_over(shard, input);
        let began = self.drain(shard);
        if began == 0 {
            self.never_began(shard.index(), first_leg);
        }
        permit.becomes(began);
    }

    /// A place for the call that a message would begin; none for other messages, and for those of
    /// strangers, whom the shard refuses.
    fn admit(
        &self,
        shard: &mut Shard,
        message: &Message,
        flow: Flow,
        names: &PeerNames,
    ) -> Result<Option<Permit<'_>>, Refused> {
        let Message::Request(request) = message else {
            return Ok(None);
        };
        let now = self.clock.now();
        if !shard.would_begin_call(message, flow, names, now) {
            return Ok(None);
        }
        let second = now.mono.0.as_secs();
        let (reason, retry_after) = match self.admission.admit(second) {
            Ok(permit) => return Ok(Some(permit)),
            Err(Shed::Draining) => ("draining", Some(RETRY_AFTER)),
            Err(Shed::Full) => ("max_calls", None),
            Err(Shed::TooFast) => ("new_calls_per_second", None),
        };
        self.metrics.shed(reason);
        shard.refuse_stateless(request, flow, 503, retry_after);
        Err(Refused)
    }

    /// Does all that a shard asks.
    fn settle(&self, shard: &mut Shard) {
        self.admission.began(self.drain(shard));
    }

    /// Does all that a shard asks; gives the number of calls that began meanwhile.
    fn drain(&self, shard: &mut Shard) -> i64 {
        let mut began = 0;
        while let Some(output) = shard.poll_output() {
            began += i64::from(matches!(output, Output::Began(..)));
            if let Some(answer) = self.run(shard.index(), output) {
                self.hand_over(shard, answer);
            }
        }
        began
    }

    /// Does what a shard asks; gives the answer where it is known at once.
    fn run(&self, shard: usize, output: Output) -> Option<Input> {
        match output {
            Output::Transmit(transmit) => {
                self.metrics.sent(&transmit.payload);
                self.calls.ladders.sent(shard, &transmit.payload, self.clock.now().mono);
                self.transport.send(transmit);
            }
            Output::OpenMedia { call, member, local, spec } => {
                let seed = self.seed.wrapping_mul(call.0 | 1).rotate_left(17) ^ self.seed;
                let opened = self.pool.open(call.0, member, local, spec, seed);
                return Some(Input::MediaOpened(call, member, opened));
            }
            Output::UpdateMedia(call, member, spec) => self.pool.update(call.0, member, spec),
            Output::ConnectAgent(call, request) => return self.connect_agent(call, *request),
            Output::StartRoom(call) => self.pool.begin(call.0),
            Output::Press(call, member, keys) => self.pool.press(call.0, member, keys),
            Output::PressNoMore(call, member) => self.pool.press_no_more(call.0, member),
            Output::LegBegan(call, start) => self.leg_began(call, *start),
            Output::Replaced { call, old, new } => self.calls.replaced(call, old, new, self.clock.now()),
            Output::Party(call, member) => self.pool.party(call.0, member),
            Output::Alias { call_id, tag, stands } => self.dispatcher.alias(shard, &call_id, &tag, stands),
            Output::CloseLeg(call, member) => self.close_leg(call, member),
            Output::DropAgent(call) => {
                self.calls.left(call, Member::AGENT, self.clock.now());
                self.agents.give_up(call);
                self.pool.drop_agent(call.0);
            }
            Output::Arrange(call, hearing) => self.pool.arrange(call.0, hearing),
            Output::Listen(call, member, on) => self.pool.listen(call.0, member, on),
            Output::Play { call, member, sound, repeat } => self.play(call, member, sound, repeat),
            Output::Hush(call, member) => self.pool.hush(call.0, member),
            Output::Digit(call, digit, member) => self.pool.digit(call.0, digit, member),
            Output::SuppressNoise(call, member) => self.pool.clean(call.0, member, true),
            Output::Record { call, call_id, task } => self.record(call, &call_id, task),
            Output::Tell(call, news) => self.pool.tell(call.0, *news),
            Output::TransferEnded(call, result) => self.transfer_ended(call, &result),
            Output::CloseRoom(call) => {
                self.agents.give_up(call);
                self.pool.close(call.0);
            }
            Output::FindFlow { call, member, hop, bytes, skip, counts } => {
                if let Some(reason) = self.overload(call, counts) {
                    return Some(Input::FlowFound(call, member, Err(reason)));
                }
                self.find_flow((call, member), hop, bytes, skip);
            }
            Output::LegGone(call, nth) => self.trunks.leg_gone(call, nth),
            Output::FindTrunkFlow { task, hop, bytes, skip } => self.find_trunk_flow(task, hop, bytes, skip),
            Output::TrunkState(state) => self.trunk_state(Arc::new(*state)),
            Output::Began(call, start) => {
                self.metrics.active.inc();
                if self.calls.began(call, *start, self.clock.now()) {
                    self.dispatcher.reply(call, Input::HangUp(call));
                }
            }
            Output::Answered(call, at, after) => {
                self.metrics.answered(after);
                self.calls.answered(call, at);
            }
            Output::Ended(record) => self.ended(&record),
            Output::Refused { sip_call_id, code, reason, source, trunk } => {
                let trunk = trunk.as_deref().unwrap_or("-");
                self.metrics.refused(trunk);
                tracing::info!(trunk, sip_call_id = %OneLine(&sip_call_id), code, %source, reason = %digits_hidden(&OneLine(&reason).to_string(), self.log_numbers), "a call was refused");
            }
        }
        None
    }

    /// Why a trunk takes a further leg of a call not now; it is counted where it does.
    fn overload(&self, call: CallHandle, counts: Option<(u32, Arc<Trunk>)>) -> Option<String> {
        let (nth, trunk) = counts?;
        let taken = self.trunks.take_leg(&trunk, (call, nth), self.second());
        taken.err().map(|overload| overload.reason().to_owned())
    }

    /// The second that rates are counted in.
    fn second(&self) -> u64 {
        self.clock.now().mono.0.as_secs()
    }

    /// Brings an agent into a room; gives the outcome where it is known at once.
    fn connect_agent(&self, call: CallHandle, request: AgentRequest) -> Option<Input> {
        if !matches!(request.agent.connect, Connect::Builtin(_)) {
            let secret = request.agent.secret.clone();
            self.sids.insert(Sids::call_of(&request.call_id), (call, secret));
        }
        let dispatcher = self.dispatcher.clone();
        let known = self.agents.connect(call, request, move |outcome| {
            dispatcher.reply(call, Input::AgentConnected(call, outcome));
        });
        known.map(|outcome| Input::AgentConnected(call, outcome))
    }

    fn play(&self, call: CallHandle, member: Member, sound: Sound, repeat: bool) {
        self.agents.play(call, member, sound, repeat, &self.dispatcher);
    }

    /// Finds the way to a trunk; the shard is told.
    fn find_flow(&self, (call, member): (CallHandle, Member), hop: Hop, bytes: usize, skip: usize) {
        let (transport, dispatcher) = (Arc::clone(&self.transport), self.dispatcher.clone());
        tokio::spawn(async move {
            let found = transport.flow_to(&hop, bytes, skip).await;
            let found = found.map_err(|error| format!("{}: {error}", shown(&hop)));
            dispatcher.reply(call, Input::FlowFound(call, member, found));
        });
    }

    /// The same for the link of a trunk.
    fn find_trunk_flow(&self, task: TrunkTask, hop: Hop, bytes: usize, skip: usize) {
        let (transport, dispatcher) = (Arc::clone(&self.transport), self.dispatcher.clone());
        tokio::spawn(async move {
            let found = transport.flow_to(&hop, bytes, skip).await.map_err(|error| error.to_string());
            dispatcher.tell(usize::from(task.shard), Input::TrunkFlowFound(task, found));
        });
    }

    /// A trunk's registration or health has changed.
    fn trunk_state(&self, state: Arc<TrunkState>) {
        tracing::info!(
            trunk = %state.trunk,
            registration = state.registration.name(),
            reason = state.reason.as_deref().unwrap_or("-"),
            addresses = ?state.addresses.iter().map(|address| (shown(&address.hop), address.healthy)).collect::<Vec<_>>(),
            "a trunk's state",
        );
        let before = self.links.know(Arc::clone(&state));
        self.trunk_changed(&state.trunk);
        self.metrics.trunk(&state, before.as_deref());
        self.dispatcher.broadcast(|| Input::TrunkState(Arc::clone(&state)));
    }

    fn ended(&self, record: &CallRecord) {
        self.metrics.ended(record);
        self.calls.ended(record, self.clock.now());
        self.trunks.ended(record);
        if !self.sids.is_empty() {
            self.sids.remove(&Sids::call_of(&record.call_id));
        }
        tracing::info!(
            call = %record.call_id,
            sip_call_id = %OneLine(&record.sip_call_id),
            from = %Pii::new(OneLine(record.from.reveal())).in_log(self.log_numbers),
            to = %record.to.in_log(self.log_numbers),
            trunk = %record.trunk,
            agent = record.agent.as_deref().unwrap_or("-"),
            code = record.sip_code,
            ended_by = ?record.ended_by,
            reason = %OneLine(&record.reason),
            seconds = record.duration_seconds,
            codec = record.codec.unwrap_or("-"),
            received = record.media.packets_received,
            lost = record.media.packets_lost,
            mos = record.media.mos,
            "call ended",
        );
        // The record first: a drain that sees no call left waits for what is handed over by then.
        self.records.write(record);
        self.admission.ended();
        self.metrics.active.dec();
        if record.media.agent_bytes_dropped > 0 {
            let (call, bytes) = (&record.call_id, record.media.agent_bytes_dropped);
            let sip_call_id = OneLine(&record.sip_call_id);
            tracing::warn!(%call, %sip_call_id, bytes, "the agent sent more audio than its queue holds; it was dropped");
        }
        if let Some(observer) = &self.observer {
            observer(record);
        }
    }
}
