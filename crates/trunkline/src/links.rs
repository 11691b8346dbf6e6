//! What the links of all trunks came to (`call/trunk.rs`), and the Call-IDs that they work with.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use trunkline_api::{AddressView, TrunkView};
use trunkline_call::{AddressState, RegistrationState, TrunkCharge, TrunkState};
use trunkline_routing::{Direction, RouteTable, Trunk};
use trunkline_signalling::Tokens;
use trunkline_sip::{Hop, format_host};

use crate::driver::Dispatcher;

/// The trunks' states; as many as trunks that register or are asked for their health.
pub(crate) struct TrunkLinks {
    states: DashMap<String, Arc<TrunkState>>,
    tokens: Mutex<Tokens>,
}

impl TrunkLinks {
    pub(crate) fn new(key: (u64, u64)) -> Self {
        // A key that is neither a shard's nor the placer's.
        Self { states: DashMap::new(), tokens: Mutex::new(Tokens::new((!key.0, key.1))) }
    }

    /// Has a shard look after each trunk that wants it.
    pub(crate) fn keep(&self, table: &RouteTable, dispatcher: &Dispatcher) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        for trunk in table.trunks.iter().filter(|trunk| trunk.register || trunk.options_interval.is_some()) {
            let shard = dispatcher.shard_of_call_id(trunk.name.as_bytes());
            let mut call_id = || dispatcher.call_id_of_shard(shard, &mut tokens);
            let charge = TrunkCharge { trunk: trunk.name.clone(), register: call_id(), options: call_id() };
            dispatcher.keep_trunk(shard, charge);
        }
    }

    /// Takes a state; gives the one before.
    pub(crate) fn know(&self, state: Arc<TrunkState>) -> Option<Arc<TrunkState>> {
        match state.is_blank() {
            true => self.states.remove(&state.trunk).map(|(_, before)| before),
            false => self.states.insert(state.trunk.clone(), state),
        }
    }

    /// Whether some trunk is registered at that address: its calls come from there.
    pub(crate) fn is_registrar(&self, address: IpAddr) -> bool {
        self.states.iter().any(|state| state.flow.is_some_and(|flow| flow.remote.ip() == address))
    }

    /// Every trunk of the tables as the API shows it.
    pub(crate) fn views(&self, table: &RouteTable) -> Vec<TrunkView> {
        table.trunks.iter().map(|trunk| self.view(trunk)).collect()
    }

    fn view(&self, trunk: &Trunk) -> TrunkView {
        let state = self.states.get(&trunk.name).map(|state| Arc::clone(&state));
        let told = |hop: &Hop| {
            state.as_ref().and_then(|state| state.addresses.iter().find(|told| told.hop == *hop).cloned())
        };
        let addresses = trunk.addresses.iter().map(|address| {
            let told = told(&address.hop);
            AddressView {
                address: shown(&address.hop),
                healthy: told.as_ref().and_then(|told| told.healthy),
                sip_code: told.and_then(|told| told.code),
            }
        });
        TrunkView {
            name: trunk.name.clone(),
            direction: match trunk.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
                Direction::Both => "both",
            },
            registration: state.as_ref().map_or(RegistrationState::Off, |state| state.registration).name(),
            registered_until: state.as_ref().and_then(|state| state.expires_at.map(|at| at.to_string())),
            reason: state.as_ref().and_then(|state| state.reason.clone()),
            addresses: addresses.collect(),
        }
    }
}

/// An address of a trunk as lists and metrics show it.
pub(crate) fn shown(hop: &Hop) -> String {
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    let transport = hop.transport.map(|kind| format!(";transport={kind}").to_lowercase());
    format!("sip:{}{port}{}", format_host(&hop.host), transport.unwrap_or_default())
}

/// Whether an address of a trunk is taken for living: it is until it was found dead.
pub(crate) fn is_up(address: &AddressState) -> bool {
    address.healthy != Some(false)
}
