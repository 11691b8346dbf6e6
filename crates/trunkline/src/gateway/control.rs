//! What the API and the signals act on: the running node behind HTTP.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use trunkline_api::{
    Backend, CallDetail, CallPage, CallQuery, CallView, CompleteError, ControlError, Events, FieldError,
    Keys, LiveMedia, PlaceError, PlaceRequest, RecordingFile, ReloadChanges, Repeat, RoomAsk, Scope,
    TransferRequest, TrunkView, same,
};
use trunkline_call::Input;
use trunkline_routing::{ApiKey, ApiSettings, Connect, Node, RouteTable, key_changes};
use trunkline_sdp::media::are_keys;
use trunkline_transport::{Guard, LiveTls};

use super::settings;
use crate::admission::Admission;
use crate::agents::Agents;
use crate::config::{self, Loaded};
use crate::driver::{Dispatcher, ShardState, Sockets};
use crate::links::TrunkLinks;
use crate::masking::digits_hidden;
use crate::metrics::Metrics;
use crate::placing::{self, Placer};
use crate::pulse::Pulse;
use crate::records::Records;

/// Changes of one reload that are logged; the rest is counted.
const MAX_CHANGES_LOGGED: usize = 100;

/// How often idle dial-in sockets are pinged.
const TEND_INTERVAL: Duration = Duration::from_secs(10);

/// What the API and the signals act on.
pub(super) struct Control {
    pub(super) path: Option<PathBuf>,
    /// The node's file as it was when the daemon started.
    pub(super) node: Node,
    pub(super) reloading: Mutex<()>,
    pub(super) records: Records,
    pub(super) shards: Arc<[ShardState]>,
    pub(super) pulse: Pulse,
    pub(super) placer: Placer,
    /// The task that tends idle dial-in sockets runs.
    pub(super) tending: Arc<AtomicBool>,
    pub(super) keys: LiveKeys,
    pub(super) log_numbers: bool,
    pub(super) table: Arc<ArcSwap<RouteTable>>,
    pub(super) links: Arc<TrunkLinks>,
    pub(super) agents: Arc<Agents>,
    pub(super) admission: Arc<Admission>,
    pub(super) dispatcher: Dispatcher,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guard: Arc<Guard>,
    pub(super) tls: Option<Arc<LiveTls>>,
    pub(super) sids: Sockets,
}

/// The keys of the API, as a reload replaces them.
pub(super) struct LiveKeys {
    /// The API's listener is reached from this machine only.
    is_local: bool,
    keys: ArcSwap<Keys>,
    /// The same as they stand in the file.
    configured: ArcSwap<Vec<ApiKey>>,
}

impl LiveKeys {
    pub(super) fn new(api: &ApiSettings) -> Self {
        let is_local = api.listen.ip().is_loopback();
        let keys = ArcSwap::from_pointee(settings::keys(&api.keys, is_local));
        Self { is_local, keys, configured: ArcSwap::from_pointee(api.keys.clone()) }
    }

    /// Takes these. False where they are those that it has.
    fn replace(&self, keys: Vec<ApiKey>) -> bool {
        if **self.configured.load() == keys {
            return false;
        }
        self.keys.store(Arc::new(settings::keys(&keys, self.is_local)));
        self.configured.store(Arc::new(keys));
        true
    }
}

impl Control {
    fn read_again(&self, dry_run: bool) -> Result<ReloadChanges, Vec<String>> {
        // One at a time, or two could leave the shards and the guard with different tables.
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let path =
            self.path.as_ref().ok_or_else(|| vec!["this node has no configuration file".to_owned()])?;
        let loaded = config::read_all(path)
            .map_err(|error| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        let prompts = self.agents.read_prompts(&loaded.table)?;
        let changes = ReloadChanges {
            changes: self.live_changes(&loaded),
            needs_restart: self.node.changes(&loaded.node),
        };
        if dry_run {
            return Ok(changes);
        }
        // The last step that can fail; what follows cannot, so a reload is whole or nothing.
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| vec![error.to_string()])?;
        }
        self.agents.use_prompts(prompts);
        let table = Arc::new(loaded.table);
        let old = self.table.swap(Arc::clone(&table));
        self.agents.forget_idle(&old, &table);
        self.dispatcher.broadcast(|| Input::Reload(Arc::clone(&table)));
        self.links.keep(&table, &self.dispatcher);
        // A key that is revoked or has a lesser scope reads no events any more; the others come back.
        if self.keys.replace(loaded.node.api.keys) {
            self.events().let_go();
        }
        Ok(changes)
    }

    /// What a configuration changes of what reloads live.
    fn live_changes(&self, next: &Loaded) -> Vec<String> {
        let mut changes = self.table.load().changes(&next.table);
        changes.extend(key_changes(&self.keys.configured.load(), &next.node.api.keys));
        changes
    }

    /// What became of a reload, for the log and the metrics.
    fn tell_reload(&self, outcome: &Result<ReloadChanges, Vec<String>>) {
        self.metrics.reloaded(outcome.is_ok());
        match outcome {
            Ok(ReloadChanges { changes, needs_restart }) => {
                for change in changes.iter().chain(needs_restart).take(MAX_CHANGES_LOGGED) {
                    let shown = self.log_numbers || !change.contains(" number +");
                    tracing::info!(change = %digits_hidden(change, shown), "changed by the reload");
                }
                let changes = changes.len() + needs_restart.len();
                tracing::info!(changes, "the tables were read again");
            }
            Err(problems) => {
                for problem in problems {
                    let problem = digits_hidden(problem, self.log_numbers);
                    tracing::error!(%problem, "the tables were not taken over");
                }
            }
        }
    }
}

impl Backend for Control {
    fn is_ready(&self) -> bool {
        !self.admission.is_draining() && self.pulse.is_there()
    }

    fn metrics(&self) -> String {
        let transactions = self.shards.iter().map(|shard| shard.transactions.load(Ordering::Relaxed)).sum();
        self.metrics.page(self.guard.shed(), self.dispatcher.dropped(), transactions)
    }

    fn reload(&self, dry_run: bool) -> Result<ReloadChanges, Vec<String>> {
        let outcome = self.read_again(dry_run);
        if !dry_run {
            self.tell_reload(&outcome);
        }
        outcome
    }

    fn complete_call(&self, call_sid: &str, password: Option<&str>) -> Result<(), CompleteError> {
        let (call, secret) =
            self.sids.get(call_sid).map(|entry| entry.clone()).ok_or(CompleteError::NotFound)?;
        let keys = self.keys.keys.load();
        let may = match (secret, password) {
            (Some(secret), Some(shown)) => same(shown.as_bytes(), secret.reveal().as_bytes()),
            (None, Some(shown)) => keys.is_open() || keys.allows(shown, Scope::Operate),
            (Some(_), None) => false,
            (None, None) => keys.is_open(),
        };
        if !may {
            return Err(CompleteError::Unauthorized);
        }
        self.dispatcher.reply(call, Input::HangUp(call));
        Ok(())
    }

    fn faults(&self, request: &PlaceRequest) -> Vec<FieldError> {
        placing::faults(request)
    }

    fn place_call(&self, request: PlaceRequest, repeat: Option<Repeat>) -> Result<CallView, PlaceError> {
        self.placer.place(request, repeat)
    }

    fn calls(&self, query: &CallQuery) -> CallPage {
        self.placer.calls().page(query)
    }

    fn call_detail(&self, id: &str) -> Option<CallDetail> {
        self.placer.calls().detail(id)
    }

    fn live_media(&self, id: &str) -> Option<oneshot::Receiver<Vec<LiveMedia>>> {
        self.placer.live_media(id)
    }

    fn are_keys(&self, keys: &str) -> bool {
        are_keys(keys)
    }

    fn press(&self, id: &str, keys: &str) -> Result<(), ControlError> {
        let call = self.placer.calls().active(id)?;
        self.dispatcher.reply(call, Input::Press(call, keys.to_owned()));
        Ok(())
    }

    fn press_no_more(&self, id: &str) -> Result<(), ControlError> {
        let call = self.placer.calls().active(id)?;
        self.dispatcher.reply(call, Input::PressNoMore(call));
        Ok(())
    }

    fn hang_up(&self, id: &str) -> Result<(), ControlError> {
        if let Some(call) = self.placer.calls().to_hang_up(id)? {
            self.dispatcher.reply(call, Input::HangUp(call));
        }
        Ok(())
    }

    fn transfer(&self, id: &str, request: TransferRequest) -> Result<(), ControlError> {
        let call = self.placer.calls().active(id)?;
        self.dispatcher.reply(call, Input::Transfer(call, Box::new(placing::transfer(request))));
        Ok(())
    }

    fn complete_transfer(&self, id: &str, agent_stays: bool) -> Result<(), ControlError> {
        let call = self.placer.calls().active(id)?;
        self.dispatcher.reply(call, Input::CompleteTransfer(call, agent_stays));
        Ok(())
    }

    fn cancel_transfer(&self, id: &str) -> Result<(), ControlError> {
        let call = self.placer.calls().active(id)?;
        self.dispatcher.reply(call, Input::CancelTransfer(call));
        Ok(())
    }

    fn ask_room(&self, id: &str, ask: RoomAsk) -> Result<(), ControlError> {
        let call = self.placer.calls().may_ask(id, &ask)?;
        self.dispatcher.reply(call, placing::in_room(call, ask));
        Ok(())
    }

    fn recording(&self, id: &str) -> Option<RecordingFile> {
        self.placer.recordings().find(id)
    }

    fn settled(&self, id: &str) -> Option<oneshot::Receiver<()>> {
        self.placer.calls().settled(id)
    }

    fn events(&self) -> &Arc<Events> {
        &self.placer.calls().events
    }

    fn trunks(&self) -> Vec<TrunkView> {
        self.links.views(&self.table.load())
    }

    fn may_dial_in(&self, agent: &str, secret: &str) -> bool {
        self.table.load().agents.get(agent).is_some_and(|agent| {
            agent.connect == Connect::DialIn
                && agent.secret.as_ref().is_some_and(|s| same(s.reveal().as_bytes(), secret.as_bytes()))
        })
    }

    fn dial_in(&self, agent: &str, secret: &str, stream: TcpStream, unread: Vec<u8>) {
        self.agents.offer(agent, stream, unread);
        // A reload may have come between the handshake and here.
        if !self.may_dial_in(agent, secret) {
            self.agents.forget(agent);
        }
        if !self.tending.swap(true, Ordering::Relaxed) {
            tokio::spawn(tend(Arc::clone(&self.agents), Arc::clone(&self.tending)));
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.keys.load_full()
    }
}

/// Tends idle dial-in sockets for as long as there are any.
async fn tend(agents: Arc<Agents>, tending: Arc<AtomicBool>) {
    let mut look = tokio::time::interval(TEND_INTERVAL);
    loop {
        look.tick().await;
        if !agents.tend_idle() {
            tending.store(false, Ordering::Relaxed);
            return;
        }
    }
}

#[cfg(test)]
mod tests;
