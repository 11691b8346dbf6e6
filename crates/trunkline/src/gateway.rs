//! A running node: everything started, and the handle to reload, drain and stop it.

mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use rustls::RootCertStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use trunkline_agent::Dialer;
use trunkline_api::{
    Backend, CallView, CompleteError, PlaceError, PlaceRequest, PressError, ReloadChanges, TrunkView, same,
};
use trunkline_call::{CallHandle, Input};
use trunkline_media::Pool;
use trunkline_routing::{Connect, Node, RouteTable};
use trunkline_sdp::media::are_keys;
use trunkline_sip::Transport as Kind;
use trunkline_transport::{Guard, LiveTls, Transport};

use crate::admission::Admission;
use crate::agents::Agents;
use crate::certificates;
use crate::clock::Clock;
use crate::config::{self, Loaded};
use crate::driver::{Dispatcher, Edges, Observer, ShardState};
use crate::links::TrunkLinks;
use crate::masking::digits_hidden;
use crate::metrics::Metrics;
use crate::placing::Placer;
use crate::pulse::{Pulse, wait_until};
use crate::random::random_key;
use crate::records::Records;

/// How to start a node.
#[derive(Clone, Default)]
pub struct Options {
    /// Shards and media threads; 0 for one a core.
    pub threads: usize,
    /// Telephone numbers in full in the log.
    pub log_numbers: bool,
    /// Sees every call record.
    pub observer: Option<Observer>,
}

/// How long a call waits for its room to close before its record is written without figures.
const EDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Changes of one reload that are logged; the rest is counted.
const MAX_CHANGES_LOGGED: usize = 100;

/// How often idle dial-in sockets are pinged.
const TEND_INTERVAL: Duration = Duration::from_secs(10);

/// A running node.
pub struct Gateway {
    transport: Arc<Transport>,
    api: SocketAddr,
    control: Arc<Control>,
    stop: watch::Sender<bool>,
}

/// What the API and the signals act on.
struct Control {
    path: Option<PathBuf>,
    /// The node's file as it was when the daemon started.
    node: Node,
    reloading: Mutex<()>,
    records: Records,
    shards: Arc<[ShardState]>,
    pulse: Pulse,
    placer: Placer,
    /// The task that tends idle dial-in sockets runs.
    tending: Arc<AtomicBool>,
    token: Option<String>,
    log_numbers: bool,
    table: Arc<ArcSwap<RouteTable>>,
    links: Arc<TrunkLinks>,
    agents: Arc<Agents>,
    admission: Arc<Admission>,
    dispatcher: Dispatcher,
    metrics: Arc<Metrics>,
    guard: Arc<Guard>,
    tls: Option<Arc<LiveTls>>,
    sids: Arc<DashMap<String, (CallHandle, Option<String>)>>,
}

impl Gateway {
    /// Starts a node. `path` is where its configuration is read again from.
    ///
    /// # Errors
    /// Where a socket, a file or a thread cannot be had.
    pub async fn start(loaded: Loaded, path: Option<PathBuf>, options: Options) -> anyhow::Result<Self> {
        let Loaded { node, table, folder, .. } = loaded;
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        let key = random_key().context("the system gives no random bytes")?;
        let table = Arc::new(ArcSwap::from_pointee(table));
        let metrics = Arc::new(Metrics::new());
        let (dispatcher, queues) = Dispatcher::new(threads, key);
        let reports = dispatcher.clone();
        let pool = Pool::start(&settings::pool_config(&node, threads), move |report| reports.report(report));
        let pool = Arc::new(pool.context("media threads")?);
        let roots = Arc::new(certificates::system_roots());
        let dialer = Dialer::new(RootCertStore::clone(&roots)).context("TLS")?;
        let agents = Agents::new(&node.name, dialer, Arc::clone(&pool), Arc::clone(&metrics), folder.clone());
        let agents = Arc::new(agents);
        let prompts = agents.read_prompts(&table.load());
        agents.use_prompts(prompts.map_err(|problems| anyhow::anyhow!("{}", problems.join("\n")))?);
        let links = Arc::new(TrunkLinks::new(key));
        let guard = Arc::new(settings::guard(&node, &table, &links));
        let tls = certificates::load(&node, &folder, roots)?;
        let transport = settings::listen(&node, tls.clone(), Arc::clone(&guard), dispatcher.clone())?;
        let admission = Arc::new(Admission::new(node.sip.max_calls, node.sip.new_calls_per_second));
        let edges = Arc::new(Edges {
            transport: Arc::clone(&transport),
            pool,
            agents: Arc::clone(&agents),
            records: Records::open(&settings::data_folder(&folder, &node.data_dir))
                .context("cannot write to data_dir")?,
            metrics: Arc::clone(&metrics),
            admission: Arc::clone(&admission),
            dispatcher: dispatcher.clone(),
            sids: Arc::new(DashMap::new()),
            table: Arc::clone(&table),
            shards: (0..threads).map(|_| ShardState::default()).collect(),
            calls: Arc::default(),
            trunks: Arc::default(),
            links: Arc::clone(&links),
            clock: Clock::start(),
            seed: key.0 ^ key.1,
            log_numbers: options.log_numbers,
            observer: options.observer,
        });
        let drivers = settings::start_shards(&node, key, queues, &edges)?;
        links.keep(&table.load(), &dispatcher);
        let control = Arc::new(Control {
            path,
            node: node.clone(),
            log_numbers: options.log_numbers,
            reloading: Mutex::new(()),
            tending: Arc::new(AtomicBool::new(false)),
            token: node.api_token.as_ref().map(|token| token.reveal().clone()),
            table,
            links,
            agents,
            admission,
            dispatcher,
            metrics,
            guard,
            tls,
            sids: Arc::clone(&edges.sids),
            records: edges.records.clone(),
            shards: Arc::clone(&edges.shards),
            pulse: Pulse::watch(drivers, &edges),
            placer: Placer::new(edges, key),
        });
        let (api, stop) = serve_api(node.api_listen, Arc::clone(&control)).await?;
        Ok(Self { transport, api, control, stop })
    }

    /// SIP listeners with their ports.
    #[must_use]
    pub fn sip(&self) -> &[(Kind, SocketAddr)] {
        self.transport.local()
    }

    /// API address.
    #[must_use]
    pub const fn api(&self) -> SocketAddr {
        self.api
    }

    /// Calls in progress.
    #[must_use]
    pub fn active_calls(&self) -> i64 {
        self.control.admission.active()
    }

    /// Whether its shards and media threads live.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.control.pulse.clone()
    }

    /// Reads the tables again.
    ///
    /// # Errors
    /// Every problem; nothing was changed.
    pub fn reload(&self) -> Result<ReloadChanges, Vec<String>> {
        self.control.reload(false)
    }

    /// Takes no new calls, waits for those in progress, at most `limit`, then ends them.
    pub async fn drain(&self, limit: Duration) {
        self.control.admission.drain();
        self.control.dispatcher.broadcast(|| Input::Drain);
        if !self.wait_idle(limit).await {
            tracing::warn!(calls = self.active_calls(), "the drain has run out of time; calls are ended");
            self.control.dispatcher.broadcast(|| Input::EndAll);
            self.wait_idle(EDGE_TIMEOUT).await;
        }
        self.wait_said(EDGE_TIMEOUT).await;
        tokio::task::block_in_place(|| self.control.records.wait_written());
        // Whoever waits on it is gone already.
        let _ = self.stop.send(true);
    }

    async fn wait_idle(&self, limit: Duration) -> bool {
        wait_until(limit, || self.active_calls() == 0).await
    }

    /// Waits until the last requests, the BYEs of ended calls, are answered; some have to find their
    /// peer first.
    async fn wait_said(&self, limit: Duration) {
        let leaving = || self.control.shards.iter().any(|shard| shard.leaving.load(Ordering::Acquire));
        if !wait_until(limit, || !leaving() && self.transport.unsent() == 0).await {
            tracing::warn!("some peers have not answered our last requests");
        }
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
            changes: self.table.load().changes(&loaded.table),
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
        Ok(changes)
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
        let wanted = secret.as_deref().or(self.token.as_deref());
        if wanted.is_some_and(|wanted| !password.is_some_and(|shown| same(shown, wanted))) {
            return Err(CompleteError::Unauthorized);
        }
        self.dispatcher.reply(call, Input::HangUp(call));
        Ok(())
    }

    fn place_call(&self, request: PlaceRequest, key: Option<String>) -> Result<CallView, PlaceError> {
        self.placer.place(request, key)
    }

    fn calls(&self, cursor: Option<&str>, limit: usize) -> Vec<CallView> {
        self.placer.calls().page(cursor, limit)
    }

    fn call(&self, id: &str) -> Option<CallView> {
        self.placer.calls().call(id)
    }

    fn press(&self, id: &str, keys: &str) -> Result<(), PressError> {
        if !are_keys(keys) {
            return Err(PressError::BadKeys);
        }
        let call = self.placer.calls().active(id).ok_or(PressError::NotActive)?;
        self.dispatcher.reply(call, Input::Press(call, keys.to_owned()));
        Ok(())
    }

    fn trunks(&self) -> Vec<TrunkView> {
        self.links.views(&self.table.load())
    }

    fn hang_up(&self, id: &str) -> bool {
        let found = self.placer.calls().to_hang_up(id);
        if let Some(Some(call)) = found {
            self.dispatcher.reply(call, Input::HangUp(call));
        }
        found.is_some()
    }

    fn may_dial_in(&self, agent: &str, secret: &str) -> bool {
        self.table.load().agents.get(agent).is_some_and(|agent| {
            agent.connect == Connect::DialIn
                && agent.secret.as_ref().is_some_and(|s| same(s.reveal(), secret))
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

    fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

/// Serves the API; it ends when the sender is told or dropped.
async fn serve_api(
    address: SocketAddr,
    backend: Arc<Control>,
) -> anyhow::Result<(SocketAddr, watch::Sender<bool>)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen for the API on {address}"))?;
    let bound = listener.local_addr()?;
    let (stop, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the gateway is gone, which is also a reason to stop.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = trunkline_api::serve(listener, backend, stop).await {
            tracing::error!(%error, "the API stopped");
        }
    });
    Ok((bound, stop))
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
