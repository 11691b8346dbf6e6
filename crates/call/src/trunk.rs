//! A trunk as we keep it up: our registration at the carrier and the health of its addresses. Pure, one
//! [`Link`] a trunk, on the shard that its Call-IDs hash to; what it comes to is told to all shards.
//!
//! ```text
//! TrunkCharge, timer, way found, response ─▶ Link ─▶ REGISTER, OPTIONS, FindTrunkFlow
//!                                              │ registration (its states: trunk/registration.rs)
//!                                              │ health of each address (trunk/health.rs)
//!                                              └─▶ TrunkState ─▶ every shard, the API, metrics
//! ```

mod health;
mod registration;
mod request;

use std::collections::VecDeque;
use std::sync::Arc;

use trunkline_routing::{Route, Trunk};
use trunkline_signalling::{ClientId, Mono, Now, Tokens, Transactions};
use trunkline_sip::{Flow, Hop, Response};

use crate::config::Advertised;
use crate::{Output, Timestamp, trunk::health::Health, trunk::registration::Registration};

/// A trunk that a shard is to look after, and the Call-IDs of its requests: they hash to that shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkCharge {
    /// The trunk's name.
    pub trunk: String,
    /// Of its REGISTER requests.
    pub register: String,
    /// Of its OPTIONS requests.
    pub options: String,
}

/// Who asked for a way, so that the answer finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkTask {
    /// The shard.
    pub shard: u16,
    /// Its number of the link.
    pub link: u64,
    /// What for.
    pub purpose: Purpose,
}

/// What a way is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The registration.
    Register,
    /// The health of an address, by its place in the trunk.
    Options(usize),
}

/// Where our registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    /// The trunk does not register.
    Off,
    /// It is being asked for, and not there yet.
    Registering,
    /// The carrier has our contact.
    Registered,
    /// No address took it; it is tried again.
    Failed,
}

impl RegistrationState {
    /// Its name in lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::Failed => "failed",
        }
    }
}

/// An address of a trunk, and whether it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressState {
    /// The address.
    pub hop: Hop,
    /// Whether it answers; unknown until it was asked.
    pub healthy: Option<bool>,
    /// Its last answer.
    pub code: Option<u16>,
}

/// What a link tells of its trunk.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkState {
    /// The trunk.
    pub trunk: String,
    /// Our registration.
    pub registration: RegistrationState,
    /// The flow that it was made on, while it lasts: calls over it are the trunk's.
    pub flow: Option<Flow>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// What the last attempt failed of.
    pub reason: Option<String>,
    /// Its addresses, where their health is asked for.
    pub addresses: Vec<AddressState>,
}

impl TrunkState {
    /// Whether a flow is the one that the trunk is registered on: the same connection, or over UDP the
    /// same peer.
    #[must_use]
    pub fn is_registered_on(&self, flow: Flow) -> bool {
        self.flow.is_some_and(|own| match flow.is_reliable() {
            true => own.connection == flow.connection,
            false => own.transport == flow.transport && own.remote == flow.remote,
        })
    }

    /// Whether there is nothing to tell: the trunk is gone, or neither registers nor is asked.
    #[must_use]
    pub const fn is_blank(&self) -> bool {
        matches!(self.registration, RegistrationState::Off) && self.addresses.is_empty()
    }

    /// Lets a call try addresses that do not answer after all others.
    pub(crate) fn prefer_healthy(&self, route: &mut Route) {
        let is_down = |hop: &Hop| self.addresses.iter().any(|a| a.hop == *hop && a.healthy == Some(false));
        if !route.trunk.addresses.iter().any(|address| is_down(&address.hop)) {
            return;
        }
        let mut trunk = Trunk::clone(&route.trunk);
        for address in &mut trunk.addresses {
            if is_down(&address.hop) {
                address.priority = u16::MAX;
            }
        }
        route.trunk = Arc::new(trunk);
    }
}

/// What a link works with: its shard's tables, for one step.
pub(crate) struct Desk<'a> {
    pub(crate) transactions: &'a mut Transactions,
    pub(crate) tokens: &'a mut Tokens,
    pub(crate) advertised: &'a Advertised,
    pub(crate) out: &'a mut VecDeque<Output>,
    /// Client transactions that were opened in this step.
    pub(crate) opened: &'a mut Vec<ClientId>,
    pub(crate) task: TrunkTask,
    pub(crate) now: Now,
}

/// One trunk that is looked after.
#[derive(Debug)]
pub(crate) struct Link {
    trunk: Arc<Trunk>,
    registration: Registration,
    health: Vec<Health>,
    /// What was last told.
    told: Option<TrunkState>,
    /// It only waits for the answer to its last request.
    stopped: bool,
}

impl Link {
    pub(crate) fn new(trunk: Arc<Trunk>, charge: TrunkCharge, desk: &mut Desk<'_>) -> Self {
        let registration = Registration::new(&trunk, charge.register, desk.tokens);
        let health = match trunk.options_interval {
            Some(interval) => trunk
                .addresses
                .iter()
                .enumerate()
                .map(|(at, address)| {
                    let hop = reached(&address.hop, &trunk);
                    Health::new(at, address.hop.clone(), hop, interval, &charge.options, desk)
                })
                .collect(),
            None => Vec::new(),
        };
        let mut link = Self { trunk, registration, health, told: None, stopped: false };
        link.registration.start(desk);
        for health in &mut link.health {
            health.handle_timeout(desk);
        }
        link.tell(desk);
        link
    }

    pub(crate) fn name(&self) -> &str {
        &self.trunk.name
    }

    /// Whether it still fits what the tables say of its trunk.
    pub(crate) fn fits(&self, trunk: &Trunk) -> bool {
        let own = &self.trunk;
        let auth = |trunk: &Trunk| {
            trunk.auth.as_ref().map(|a| (a.username.clone(), a.password.reveal().clone(), a.realm.clone()))
        };
        own.addresses == trunk.addresses
            && own.transport == trunk.transport
            && (own.register, own.register_expires) == (trunk.register, trunk.register_expires)
            && own.options_interval == trunk.options_interval
            && auth(own) == auth(trunk)
    }

    pub(crate) fn flow_found(&mut self, found: Result<(Flow, bool), String>, desk: &mut Desk<'_>) {
        match desk.task.purpose {
            Purpose::Register => self.registration.flow_found(found, desk),
            Purpose::Options(at) => {
                if let Some(health) = self.health.get_mut(at) {
                    health.flow_found(found, desk);
                }
            }
        }
        self.tell(desk);
    }

    pub(crate) fn response(&mut self, tx: ClientId, response: &Response, desk: &mut Desk<'_>) {
        self.registration.response(tx, response, desk);
        for health in &mut self.health {
            health.answered(tx, response.code(), desk.now.mono);
        }
        self.tell(desk);
    }

    pub(crate) fn no_response(&mut self, tx: ClientId, desk: &mut Desk<'_>) {
        self.registration.no_response(tx, desk);
        for health in &mut self.health {
            health.answered(tx, 408, desk.now.mono);
        }
        self.tell(desk);
    }

    pub(crate) fn connection_lost(&mut self, connection: u64, desk: &mut Desk<'_>) {
        self.registration.connection_lost(connection, desk);
        self.tell(desk);
    }

    pub(crate) fn handle_timeout(&mut self, desk: &mut Desk<'_>) {
        self.registration.handle_timeout(desk);
        for health in &mut self.health {
            health.handle_timeout(desk);
        }
        self.tell(desk);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Mono> {
        let health = self.health.iter().filter_map(Health::poll_timeout);
        health.chain(self.registration.poll_timeout()).min()
    }

    /// Takes our contact off the carrier and asks nobody any more.
    pub(crate) fn stop(&mut self, desk: &mut Desk<'_>) {
        self.stopped = true;
        self.registration.stop(desk);
        self.health.clear();
        self.tell(desk);
    }

    /// Whether it looks after its trunk, and does not only wait for a last answer.
    pub(crate) const fn is_working(&self) -> bool {
        !self.stopped
    }

    /// Whether nothing is left for it to do.
    pub(crate) const fn is_over(&self) -> bool {
        self.registration.is_off() && self.health.is_empty()
    }

    fn tell(&mut self, desk: &mut Desk<'_>) {
        let state = TrunkState {
            trunk: self.trunk.name.clone(),
            addresses: self.health.iter().map(Health::state).collect(),
            ..self.registration.state()
        };
        if self.told.as_ref() != Some(&state) {
            desk.out.push_back(Output::TrunkState(Box::new(state.clone())));
            self.told = Some(state);
        }
    }
}

/// An address with the transport that the trunk names.
fn reached(hop: &Hop, trunk: &Trunk) -> Hop {
    Hop { transport: hop.transport.or(trunk.transport.kind()), ..hop.clone() }
}
