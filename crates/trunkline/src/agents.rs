//! Bringing agents into rooms: built-in ones at once, the others by dialling or from the sockets
//! that they opened themselves.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use trunkline_agent::l16::{L16, L16Agent, Metadata};
use trunkline_agent::twilio::{Twilio, TwilioAgent};
use trunkline_agent::{
    Announce, CallNames, Dialer, Echo, Greeting, Link, Manner, Prompt, RtpAgent, Sids, Silence, Tone,
    accept_dial_in,
};
use trunkline_call::{Again, AgentRequest, CallHandle};
use trunkline_media::{Participant, Pool};
use trunkline_routing::{Agent, Builtin, Connect, Protocol, RouteTable, RtpAddress};
use trunkline_sip::text::OneLine;

use crate::metrics::Metrics;
use crate::sounds::Sounds;

/// Between two attempts to reach an agent that was lost; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Idle sockets kept of one dial-in agent.
const MAX_IDLE: usize = 4096;

/// Audio files by their path in the tables.
pub(crate) type Prompts = BTreeMap<String, Prompt>;

/// Reaches agents.
pub(crate) struct Agents {
    pub(crate) node: String,
    pub(crate) dialer: Dialer,
    pub(crate) pool: Arc<Pool>,
    pub(crate) metrics: Arc<Metrics>,
    prompts: ArcSwap<Prompts>,
    idle: DashMap<String, VecDeque<Link>>,
    /// Calls whose agent is being dialled.
    dialling: DashMap<CallHandle, AbortHandle>,
    pub(crate) sounds: Sounds,
    folder: PathBuf,
}

impl Agents {
    pub(crate) fn new(
        node: &str,
        dialer: Dialer,
        pool: Arc<Pool>,
        metrics: Arc<Metrics>,
        folder: PathBuf,
    ) -> Self {
        Self {
            node: node.to_owned(),
            dialer,
            pool,
            metrics,
            prompts: ArcSwap::default(),
            idle: DashMap::new(),
            dialling: DashMap::new(),
            sounds: Sounds::of(&folder),
            folder,
        }
    }

    /// Reads the audio files that a table names.
    pub(crate) fn read_prompts(&self, table: &RouteTable) -> Result<Prompts, Vec<String>> {
        let mut prompts = Prompts::new();
        let mut problems = Vec::new();
        for agent in table.agents.values() {
            if let Connect::Builtin(Builtin::Announce(file)) = &agent.connect {
                match Prompt::load(&self.folder.join(file)) {
                    Ok(prompt) => {
                        prompts.insert(file.clone(), prompt);
                    }
                    Err(error) => problems.push(format!("agent {:?}: {file}: {error}", agent.name)),
                }
            }
        }
        if problems.is_empty() { Ok(prompts) } else { Err(problems) }
    }

    /// Plays these files from now on.
    pub(crate) fn use_prompts(&self, prompts: Prompts) {
        self.prompts.store(Arc::new(prompts));
        self.sounds.forget();
    }

    /// Brings an agent into a room. One that takes no time gives its outcome at once; for the others
    /// `done` is told later.
    pub(crate) fn connect(
        self: &Arc<Self>,
        call: CallHandle,
        request: AgentRequest,
        done: impl FnOnce(Result<(), String>) + Send + 'static,
    ) -> Option<Result<(), String>> {
        match &request.agent.connect {
            Connect::Builtin(builtin) => {
                Some(self.builtin(builtin).map(|agent| self.pool.join(call.0, agent)))
            }
            Connect::DialIn if request.again.is_none() => Some(match self.take_idle(&request.agent.name) {
                Some(link) => {
                    self.metrics.agent_dialled(true, Duration::ZERO);
                    self.join(call, link, request);
                    Ok(())
                }
                None => {
                    self.metrics.agent_dialled(false, Duration::ZERO);
                    Err("no socket of the agent is idle".to_owned())
                }
            }),
            // The call has a leg for it.
            Connect::Sip(_) => Some(Err("the agent is called, not connected".to_owned())),
            Connect::Urls(_) | Connect::DialIn | Connect::Rtp(_) => {
                let this = Arc::clone(self);
                let (known, dialled) = oneshot::channel::<()>();
                let task = tokio::spawn(async move {
                    // Not before the call can be given up.
                    let _ = dialled.await;
                    let outcome = this.reach(call, &request).await;
                    this.dialling.remove(&call);
                    done(outcome);
                });
                self.dialling.insert(call, task.abort_handle());
                let _ = known.send(());
                None
            }
        }
    }

    /// The room is closed: what would still come into it is dialled no further.
    pub(crate) fn give_up(&self, call: CallHandle) {
        if let Some((_, task)) = self.dialling.remove(&call) {
            task.abort();
        }
    }

    /// Keeps a socket that an agent opened.
    pub(crate) fn offer(&self, agent: &str, stream: TcpStream, unread: Vec<u8>) {
        match accept_dial_in(stream, unread) {
            Ok(link) => {
                let mut idle = self.idle.entry(agent.to_owned()).or_default();
                idle.retain_mut(Link::is_open);
                if idle.len() < MAX_IDLE {
                    idle.push_back(link);
                }
            }
            Err(error) => tracing::warn!(agent, %error, "a dial-in socket was lost"),
        }
    }

    /// Lets go of the idle sockets of one agent.
    pub(crate) fn forget(&self, agent: &str) {
        self.idle.remove(agent);
    }

    /// Lets go of the idle sockets of agents that no longer dial in or have another secret now: who holds
    /// only the old one takes no call.
    pub(crate) fn forget_idle(&self, old: &RouteTable, new: &RouteTable) {
        self.idle.retain(|name, _| {
            let (Some(old), Some(new)) = (old.agents.get(name), new.agents.get(name)) else {
                return false;
            };
            let secret = |agent: &Agent| agent.secret.as_ref().map(|secret| secret.reveal().clone());
            new.connect == Connect::DialIn && secret(old) == secret(new)
        });
    }

    /// Keeps idle sockets alive and forgets those that are gone; false once there is none.
    pub(crate) fn tend_idle(&self) -> bool {
        for mut idle in self.idle.iter_mut() {
            idle.retain_mut(|link| link.ping() && link.is_open());
        }
        self.idle.retain(|_, links| !links.is_empty());
        !self.idle.is_empty()
    }

    fn builtin(&self, builtin: &Builtin) -> Result<Box<dyn Participant>, String> {
        Ok(match builtin {
            Builtin::Echo => Box::new(Echo),
            Builtin::Tone => Box::new(Tone::default()),
            Builtin::Silence => Box::new(Silence),
            Builtin::NotInService => Box::new(Announce::new(Prompt::not_in_service())),
            Builtin::Announce(file) => match self.prompts.load().get(file) {
                Some(prompt) => Box::new(Announce::new(prompt.clone())),
                None => {
                    return Err(format!("{file} could not be read when the tables were loaded"));
                }
            },
        })
    }

    /// Reaches an agent once, or again where it was lost: as often as its time allows.
    async fn reach(&self, call: CallHandle, request: &AgentRequest) -> Result<(), String> {
        let Some(Again { window, repeated }) = request.again else {
            return self.dial(call, request).await;
        };
        let mut last = "no time to dial it".to_owned();
        let mut pause = FIRST_PAUSE;
        let sought = tokio::time::timeout(window, async {
            // One that takes the connection and breaks it would be dialled as fast as the processor can.
            if repeated {
                tokio::time::sleep(pause).await;
            }
            loop {
                match self.try_again(call, request).await {
                    Ok(()) => return,
                    Err(why) => last = why,
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
        let found = sought.await.is_ok();
        found.then_some(()).ok_or(last)
    }

    async fn try_again(&self, call: CallHandle, request: &AgentRequest) -> Result<(), String> {
        if request.agent.connect != Connect::DialIn {
            return self.dial(call, request).await;
        }
        let link = self.take_idle(&request.agent.name);
        self.metrics.agent_dialled(link.is_some(), Duration::ZERO);
        self.join(call, link.ok_or("no socket of the agent is idle")?, request.clone());
        Ok(())
    }

    /// Tries the agent's addresses in their order.
    async fn dial(&self, call: CallHandle, request: &AgentRequest) -> Result<(), String> {
        let agent = &request.agent;
        let urls = match &agent.connect {
            Connect::Urls(urls) => urls,
            Connect::Rtp(address) => {
                let started = Instant::now();
                let outcome = self.begin_rtp(call, address, request).await;
                self.metrics.agent_dialled(outcome.is_ok(), started.elapsed());
                return outcome;
            }
            Connect::Builtin(_) | Connect::DialIn | Connect::Sip(_) => return Err("no address".to_owned()),
        };
        let secret = agent.secret.as_ref().map(|secret| secret.reveal().as_str());
        let greeting = match agent.protocol {
            Protocol::Twilio | Protocol::Rtp(_) => Greeting::Twilio { secret },
            Protocol::L16 { .. } => Greeting::L16 { user: &agent.name, secret },
        };
        let mut problems = Vec::new();
        let started = Instant::now();
        for url in urls {
            match self.dialer.dial(url.reveal(), greeting, agent.connect_timeout).await {
                Ok(link) => {
                    self.metrics.agent_dialled(true, started.elapsed());
                    self.join(call, link, request.clone());
                    return Ok(());
                }
                Err(error) => {
                    let (call, sip_call_id) = (&request.call_id, OneLine(&request.sip_call_id));
                    tracing::warn!(%call, %sip_call_id, agent = %agent.name, %url, %error, "an agent cannot be reached");
                    problems.push(format!("{url}: {error}"));
                }
            }
        }
        self.metrics.agent_dialled(false, started.elapsed());
        Err(format!("agent {} cannot be reached: {}", agent.name, problems.join("; ")))
    }

    /// Finds an agent that speaks RTP and a port for it.
    async fn begin_rtp(
        &self,
        call: CallHandle,
        address: &RtpAddress,
        request: &AgentRequest,
    ) -> Result<(), String> {
        let Protocol::Rtp(format) = request.agent.protocol else {
            return Err("the agent does not speak RTP".to_owned());
        };
        let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
        let found = tokio::time::timeout(request.agent.connect_timeout, lookup).await;
        let peer = found.ok().and_then(Result::ok).and_then(|mut addresses| addresses.next());
        let peer = peer.ok_or_else(|| format!("rtp://{address}: there is no such host"))?;
        let port = self.pool.borrow(peer).ok_or("no media port is free for the agent")?;
        let seed = Sids::number_of(&request.call_id);
        self.pool.join(call.0, Box::new(RtpAgent::new(port, names(request), format, peer, seed)));
        self.pool.flush();
        Ok(())
    }

    fn join(&self, call: CallHandle, link: Link, request: AgentRequest) {
        let sids = Sids::of(&self.node, &request.call_id);
        let names = names(&request);
        let agent = &request.agent;
        let manner = Manner { events: agent.events, comes_again: !agent.reconnect.is_zero() };
        let participant: Box<dyn Participant> = match request.agent.protocol {
            Protocol::Twilio | Protocol::Rtp(_) => Box::new(TwilioAgent::new(
                link,
                names,
                Twilio::new(sids, request.parameters.into_inner()),
                manner,
            )),
            Protocol::L16 { rate } => {
                let metadata = Metadata {
                    sids,
                    sip_call_id: request.sip_call_id,
                    direction: request.direction,
                    rate,
                    parameters: request.parameters.into_inner(),
                };
                Box::new(L16Agent::new(link, names, L16::new(metadata), manner))
            }
        };
        self.pool.join(call.0, participant);
        self.pool.flush();
    }

    /// The oldest idle socket that is still open.
    fn take_idle(&self, agent: &str) -> Option<Link> {
        let mut idle = self.idle.get_mut(agent)?;
        while let Some(mut link) = idle.pop_front() {
            if link.is_open() {
                return Some(link);
            }
        }
        None
    }
}

/// A call's ids, for the log.
fn names(request: &AgentRequest) -> CallNames {
    CallNames { call: request.call_id.clone(), sip_call_id: OneLine(&request.sip_call_id).to_string() }
}
