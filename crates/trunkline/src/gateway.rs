//! A running node: everything started, and the handle to reload, drain and stop it.

mod control;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use rustls::RootCertStore;
use tokio::net::TcpListener;
use tokio::sync::watch;
use trunkline_agent::Dialer;
use trunkline_api::{Backend, ReloadChanges};
use trunkline_call::Input;
use trunkline_media::Pool;
use trunkline_routing::ApiSettings;
use trunkline_sip::Transport as Kind;
use trunkline_transport::Transport;

use control::{Control, LiveKeys};

use crate::admission::Admission;
use crate::agents::Agents;
use crate::calls::Calls;
use crate::certificates;
use crate::clock::Clock;
use crate::config::Loaded;
use crate::driver::{Dispatcher, Edges, Observer, ShardState};
use crate::links::TrunkLinks;
use crate::metrics::Metrics;
use crate::placing::Placer;
use crate::pulse::{Pulse, wait_until};
use crate::random::random_key;
use crate::recordings::Recordings;
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

impl Options {
    fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        }
    }
}

/// How long a call waits for its room to close before its record is written without figures.
const EDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A running node.
pub struct Gateway {
    transport: Arc<Transport>,
    api: SocketAddr,
    control: Arc<Control>,
    stop: watch::Sender<bool>,
}

impl Gateway {
    /// Starts a node. `path` is where its configuration is read again from.
    ///
    /// # Errors
    /// Where a socket, a file or a thread cannot be had.
    pub async fn start(loaded: Loaded, path: Option<PathBuf>, options: Options) -> anyhow::Result<Self> {
        let Loaded { node, table, folder, .. } = loaded;
        let threads = options.threads();
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
        let clock = Clock::start();
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
            calls: Arc::new(Calls::new(&node.api, threads, clock.now())),
            trunks: Arc::default(),
            links: Arc::clone(&links),
            clock,
            recordings: Recordings::of(&node.recording, &settings::data_folder(&folder, &node.data_dir)),
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
            keys: LiveKeys::new(&node.api),
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
        let (api, stop) = serve_api(&node.api, Arc::clone(&control)).await?;
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
        wait_until(EDGE_TIMEOUT, || self.control.agents.pool.recordings() == 0).await;
        // Whoever waits on it is gone already.
        let _ = self.stop.send(true);
    }

    async fn wait_idle(&self, limit: Duration) -> bool {
        wait_until(limit, || self.active_calls() == 0).await
    }

    /// Waits until the last requests, the BYEs of ended calls, are answered; some have to find their
    /// peer first.
    async fn wait_said(&self, limit: Duration) {
        let left = || self.control.shards.iter().all(|shard| shard.left.load(Ordering::Acquire));
        if !wait_until(limit, || left() && self.transport.unsent() == 0).await {
            tracing::warn!("some peers have not answered our last requests");
        }
    }
}

/// Serves the API; it ends when the sender is told or dropped.
async fn serve_api(
    settings: &ApiSettings,
    backend: Arc<Control>,
) -> anyhow::Result<(SocketAddr, watch::Sender<bool>)> {
    let (address, per_second) = (settings.listen, settings.requests_per_second);
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
        if let Err(error) = trunkline_api::serve(listener, backend, per_second, stop).await {
            tracing::error!(%error, "the API stopped");
        }
    });
    Ok((bound, stop))
}
