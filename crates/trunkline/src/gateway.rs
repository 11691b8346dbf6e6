//! A running node: everything started, and the handle to reload, drain and stop it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use trunkline_agent::Dialer;
use trunkline_api::{Backend, CompleteError, same};
use trunkline_call::{Advertised, CallHandle, Input, Shard, ShardConfig};
use trunkline_media::{Pool, PoolConfig};
use trunkline_routing::{Connect, Node, RouteTable};
use trunkline_signalling::Timers;
use trunkline_signalling::dialog::InDialogPolicy;
use trunkline_sip::Transport as Kind;
use trunkline_transport::{Guard, GuardLimits, Listen, LiveTls, TlsFiles, Transport};

use crate::agents::Agents;
use crate::clock::Clock;
use crate::config::{self, Loaded};
use crate::driver::{Admission, Dispatcher, Edges, Observer, drive};
use crate::metrics::Metrics;
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
    node: String,
    reloading: Mutex<()>,
    /// The task that tends idle dial-in sockets runs.
    tending: Arc<AtomicBool>,
    token: Option<String>,
    table: Arc<ArcSwap<RouteTable>>,
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
        let pool = Pool::start(&pool_config(&node, threads), move |report| reports.report(report));
        let pool = Arc::new(pool.context("media threads")?);
        let dialer = Dialer::new(None).context("TLS")?;
        let agents = Agents::new(&node.name, dialer, Arc::clone(&pool), Arc::clone(&metrics), folder.clone());
        let agents = Arc::new(agents);
        let prompts = agents.read_prompts(&table.load());
        agents.use_prompts(prompts.map_err(|problems| anyhow::anyhow!("{}", problems.join("\n")))?);
        let peers = Arc::clone(&table);
        let guard = Guard::new(GuardLimits::default(), move |source| peers.load().is_peer(source));
        let guard = Arc::new(guard);
        let tls = tls(&node, &folder)?;
        let incoming = dispatcher.clone();
        let listeners: Vec<Listen> =
            node.sip.listen.iter().map(|l| Listen { kind: l.transport, address: l.address }).collect();
        let sink = Arc::new(move |received| incoming.received(received));
        let transport = Transport::bind(&listeners, tls.clone(), Arc::clone(&guard), sink)
            .context("cannot listen for SIP")?;
        let admission = Arc::new(Admission::new(node.sip.max_calls, node.sip.new_calls_per_second));
        let edges = Arc::new(Edges {
            transport: Arc::clone(&transport),
            pool,
            agents: Arc::clone(&agents),
            records: Records::open(&folder_of(&folder, &node.data_dir))
                .context("cannot write to data_dir")?,
            metrics: Arc::clone(&metrics),
            admission: Arc::clone(&admission),
            dispatcher: dispatcher.clone(),
            sids: Arc::new(DashMap::new()),
            table: Arc::clone(&table),
            clock: Clock::start(),
            seed: key.0 ^ key.1,
            log_numbers: options.log_numbers,
            observer: options.observer,
        });
        for (index, queues) in queues.into_iter().enumerate() {
            let shard = Shard::new(shard_config(&node, index, key), table.load_full());
            tokio::spawn(drive(shard, queues, Arc::clone(&edges)));
        }
        let control = Arc::new(Control {
            path,
            node: format!("{:?}{:?}{:?}", node.sip, node.media, node.api_listen),
            reloading: Mutex::new(()),
            tending: Arc::new(AtomicBool::new(false)),
            token: node.api_token.as_ref().map(|token| token.reveal().clone()),
            table,
            agents,
            admission,
            dispatcher,
            metrics,
            guard,
            tls,
            sids: Arc::clone(&edges.sids),
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
        self.control.admission.active.load(Ordering::Relaxed)
    }

    /// Reads the tables again.
    ///
    /// # Errors
    /// Every problem; nothing was changed.
    pub fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        self.control.reload()
    }

    /// Takes no new calls, waits for those in progress, at most `limit`, then ends them.
    pub async fn drain(&self, limit: Duration) {
        self.control.admission.draining.store(true, Ordering::Relaxed);
        self.control.dispatcher.broadcast(|| Input::Drain);
        if !self.wait_idle(limit).await {
            tracing::warn!(calls = self.active_calls(), "the drain has run out of time; calls are ended");
            self.control.dispatcher.broadcast(|| Input::EndAll);
            self.wait_idle(EDGE_TIMEOUT).await;
        }
        // Whoever waits on it is gone already.
        let _ = self.stop.send(true);
    }

    async fn wait_idle(&self, limit: Duration) -> bool {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let waited = tokio::time::timeout(limit, async {
            while self.active_calls() > 0 {
                look.tick().await;
            }
        });
        waited.await.is_ok()
    }
}

impl Control {
    fn read_again(&self) -> Result<Vec<String>, Vec<String>> {
        // One at a time, or two could leave the shards and the guard with different tables.
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let path =
            self.path.as_ref().ok_or_else(|| vec!["this node has no configuration file".to_owned()])?;
        let loaded = config::read(path)
            .map_err(|error| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        let prompts = self.agents.read_prompts(&loaded.table)?;
        // The last step that can fail; what follows cannot, so a reload is whole or nothing.
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| vec![error.to_string()])?;
        }
        self.agents.use_prompts(prompts);
        let mut changes = self.table.load().changes(&loaded.table);
        let node = &loaded.node;
        if format!("{:?}{:?}{:?}", node.sip, node.media, node.api_listen) != self.node {
            changes.push("! [sip], [media] or [api] changed: these take effect at the next start".to_owned());
        }
        if node.api_token.as_ref().map(|token| token.reveal()) != self.token.as_ref() {
            changes.push("! [api] token changed: it takes effect at the next start".to_owned());
        }
        let table = Arc::new(loaded.table);
        self.table.store(Arc::clone(&table));
        self.dispatcher.broadcast(|| Input::Reload(Arc::clone(&table)));
        Ok(changes)
    }
}

impl Backend for Control {
    fn is_ready(&self) -> bool {
        !self.admission.draining.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> String {
        self.metrics.page(self.guard.shed())
    }

    fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let outcome = self.read_again();
        self.metrics.reloaded(outcome.is_ok());
        match &outcome {
            Ok(changes) => tracing::info!(changes = changes.len(), "the tables were read again"),
            Err(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "the tables were not taken over");
                }
            }
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

    fn may_dial_in(&self, agent: &str, secret: &str) -> bool {
        self.table.load().agents.get(agent).is_some_and(|agent| {
            agent.connect == Connect::DialIn
                && agent.secret.as_ref().is_some_and(|s| same(s.reveal(), secret))
        })
    }

    fn dial_in(&self, agent: &str, stream: TcpStream, unread: Vec<u8>) {
        self.agents.offer(agent, stream, unread);
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

fn tls(node: &Node, folder: &std::path::Path) -> anyhow::Result<Option<Arc<LiveTls>>> {
    let Some(settings) = &node.sip.tls else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: folder_of(folder, &settings.certificate),
        private_key: folder_of(folder, &settings.private_key),
        client_ca: settings.client_ca.as_ref().map(|path| folder_of(folder, path)),
        roots: None,
    };
    Ok(Some(Arc::new(LiveTls::load(files)?)))
}

fn folder_of(folder: &std::path::Path, path: &str) -> PathBuf {
    folder.join(path)
}

fn pool_config(node: &Node, threads: usize) -> PoolConfig {
    PoolConfig {
        threads,
        addresses: node.media.listen_addresses.clone(),
        ports: node.media.ports.clone(),
        no_media: node.media.no_media_timeout,
    }
}

fn shard_config(node: &Node, index: usize, key: (u64, u64)) -> ShardConfig {
    let [t1, t2, t4] = node.sip.timers;
    ShardConfig {
        shard: u16::try_from(index).unwrap_or(u16::MAX),
        // Each shard has a key of its own, so that their tokens never meet.
        key: (key.0 ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), key.1),
        timers: Timers { t1, t2, t4 },
        advertised: Advertised {
            external_address: node.sip.external_address,
            external_host: node.sip.external_host.clone(),
            local_networks: node.sip.local_networks.clone(),
        },
        codecs: node.media.codecs.clone(),
        unknown_peers: node.sip.unknown_peers,
        in_dialog: InDialogPolicy { info: node.sip.accept_info, message: node.sip.accept_message },
        edge_timeout: EDGE_TIMEOUT,
    }
}

/// A key from the system, for hashes and tokens.
pub(crate) fn random_key() -> std::io::Result<(u64, u64)> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let (a, b) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    Ok((number(a), number(b)))
}
