//! The media threads, as the rest of the daemon sees them: commands in, reports out.

use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Poll, Waker};
use trunkline_sdp::control::AgentNews;
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
use trunkline_sdp::{Codec, Hearing, Member};

use crate::borrowed::BorrowedPort;
use crate::participant::Participant;
use crate::ports::{Ports, locked};
use crate::recorder::{Open, RecordTask, Recorders, open_file};
use crate::worker::{Command, Sink, Worker, wake_token};

/// What the threads are told once.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Number of threads.
    pub threads: usize,
    /// Addresses to open ports on; the first of the caller's family is taken.
    pub addresses: Vec<IpAddr>,
    /// Port range.
    pub ports: RangeInclusive<u16>,
    /// How long a caller may be silent.
    pub no_media: Duration,
}

/// What a leg's media came to so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LegStats {
    /// Which.
    pub member: Member,
    /// The codec that is spoken; none before that is agreed on.
    pub codec: Option<Codec>,
    /// The figures.
    pub stats: MediaStats,
}

/// What a thread reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// Something happened in a room.
    Room(u64, RoomEvent),
    /// A leg has left its room.
    LegClosed(u64, Member, MediaStats),
    /// A room is closed; the figures are those of the leg that the call began with.
    Closed(u64, MediaStats),
}

struct Thread {
    /// What is to be done in which room; `None` once the pool is gone.
    commands: Sender<Option<(u64, Command)>>,
    waker: Arc<Waker>,
    /// Commands were sent since the thread was last woken.
    waiting: AtomicBool,
    handle: JoinHandle<()>,
}

/// The media threads. They end when this is dropped.
pub struct Pool {
    threads: Vec<Thread>,
    addresses: Vec<IpAddr>,
    ports: Arc<Mutex<Ports>>,
    recorders: Recorders,
}

impl Drop for Pool {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.send(None);
            thread.wake();
        }
    }
}

impl Thread {
    fn send(&self, command: Option<(u64, Command)>) {
        if self.commands.send(command).is_ok() {
            self.waiting.store(true, Ordering::Release);
        }
    }

    fn wake(&self) {
        if self.waiting.swap(false, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a media thread cannot be woken");
        }
    }
}

impl Pool {
    /// Starts the threads. `sink` is called on them and must not block.
    ///
    /// # Errors
    /// Where the system gives no poll or no thread.
    pub fn start(config: &PoolConfig, sink: impl Fn(Report) + Send + Sync + 'static) -> io::Result<Self> {
        Self::start_with(config, Arc::new(sink), open_file)
    }

    /// The same with a disk of another kind.
    fn start_with(config: &PoolConfig, sink: Sink, open: Open) -> io::Result<Self> {
        let recorders = Recorders::start(Arc::clone(&sink), open)?;
        let ports = Arc::new(Mutex::new(Ports::new(&config.ports)));
        let mut threads = Vec::new();
        for index in 0..config.threads {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), wake_token())?);
            let (commands, receiver) = channel();
            let worker = Worker {
                poll,
                _waker: Arc::clone(&waker),
                commands: receiver,
                sink: Arc::clone(&sink),
                ports: Arc::clone(&ports),
                recorders: recorders.clone(),
                no_media: config.no_media,
                rooms: Vec::new(),
                free: Vec::new(),
                by_call: HashMap::new(),
                ticks: BinaryHeap::new(),
                epoch: Instant::now(),
                next_slow: None,
                unread: Vec::new(),
            };
            let handle = std::thread::Builder::new().name(format!("media-{index}")).spawn(|| worker.run())?;
            threads.push(Thread { commands, waker, waiting: AtomicBool::new(false), handle });
        }
        Ok(Self { threads, addresses: config.addresses.clone(), ports, recorders })
    }

    /// Whether every thread runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.handle.is_finished())
    }

    /// Opens a port for a leg and gives its address; `None` where no port is free. The first leg makes the
    /// room, further ones come into it. `near` is our address on the leg's signalling flow; it is what the
    /// peer is told where the ports listen on every address. The ports are bound here, which takes
    /// microseconds and spares two wake-ups a call; from then on their thread owns them.
    pub fn open(
        &self,
        call: u64,
        member: Member,
        near: IpAddr,
        spec: Option<MediaSpec>,
        seed: u64,
    ) -> Option<SocketAddr> {
        let fits = |address: &&IpAddr| address.is_ipv4() == near.is_ipv4();
        let bind = self.addresses.iter().find(fits).copied().unwrap_or(near);
        let told = if bind.is_unspecified() { near } else { bind };
        let pair = locked(&self.ports).open(bind, Instant::now())?;
        let address = SocketAddr::new(told, pair.port);
        self.send(call, Command::Open { member, pair, spec, seed });
        Some(address)
    }

    /// A port of the range for a participant that is to reach `peer`; `None` where none is free, or no
    /// address of ours is of its family.
    #[must_use]
    pub fn borrow(&self, peer: SocketAddr) -> Option<BorrowedPort> {
        let bind = self.addresses.iter().find(|address| address.is_ipv4() == peer.is_ipv4())?;
        let pair = locked(&self.ports).open(*bind, Instant::now())?;
        Some(BorrowedPort::new(pair, Arc::clone(&self.ports)))
    }

    /// New terms for a leg.
    pub fn update(&self, call: u64, member: Member, spec: MediaSpec) {
        self.send(call, Command::Update(member, spec));
    }

    /// Has a leg leave the room and frees its port. Answered by [`Report::LegClosed`], also where there is none.
    pub fn close_leg(&self, call: u64, member: Member) {
        self.send(call, Command::CloseLeg(member));
    }

    /// Wakes the threads that have new commands. What the other methods ask for is done from then
    /// on, so that the commands of one turn cost a thread one wake-up.
    pub fn flush(&self) {
        self.threads.iter().for_each(Thread::wake);
    }

    /// Brings an agent into a room, in place of the one that is there; where the room is gone it leaves at
    /// once.
    pub fn join(&self, call: u64, agent: Box<dyn Participant>) {
        self.send(call, Command::Join(agent));
    }

    /// Has the agent leave; the room lives on.
    pub fn drop_agent(&self, call: u64) {
        self.send(call, Command::DropAgent);
    }

    /// The call is answered.
    pub fn begin(&self, call: u64) {
        self.send(call, Command::Start);
    }

    /// Who hears whom from now on. A room begins with the first leg and the agent hearing each other.
    pub fn arrange(&self, call: u64, hearing: Hearing) {
        self.send(call, Command::Arrange(hearing));
    }

    /// Whom the call is with: it is recorded on the left, and its speech is listened for. The first leg until then.
    pub fn party(&self, call: u64, member: Member) {
        self.send(call, Command::Party(member));
    }

    /// Whether the keys that a leg presses go to the call ([`RoomEvent::Digit`]) or to those who hear it.
    pub fn listen(&self, call: u64, member: Member, on: bool) {
        self.send(call, Command::Listen(member, on));
    }

    /// Plays audio to a leg instead of what it would hear: µ-law at 8 kHz. The end of one that does not
    /// repeat is told ([`RoomEvent::Played`]).
    pub fn play(&self, call: u64, member: Member, audio: Arc<[u8]>, repeat: bool) {
        self.send(call, Command::Play { member, audio, repeat });
    }

    /// Plays no more to a leg: it hears again what it would.
    pub fn hush(&self, call: u64, member: Member) {
        self.send(call, Command::Hush(member));
    }

    /// Presses keys towards a leg's peer.
    pub fn press(&self, call: u64, member: Member, keys: String) {
        self.send(call, Command::Press(member, keys));
    }

    /// Presses no more keys towards a leg's peer: those that wait are dropped, the one that is pressed is let go.
    pub fn press_no_more(&self, call: u64, member: Member) {
        self.send(call, Command::PressNoMore(member));
    }

    /// A key press of a leg's peer that came by INFO.
    pub fn digit(&self, call: u64, digit: char, member: Member) {
        self.send(call, Command::Digit(member, digit));
    }

    /// News for the agent.
    pub fn tell(&self, call: u64, news: AgentNews) {
        self.send(call, Command::Tell(news));
    }

    /// Whether noise is taken out of what a leg says, for all that hear it.
    pub fn clean(&self, call: u64, member: Member, on: bool) {
        self.send(call, Command::Clean(member, on));
    }

    /// What becomes of the room's recording. Its end is told ([`RoomEvent::RecordingEnded`]).
    pub fn record(&self, call: u64, task: RecordTask) {
        self.send(call, Command::Record(task));
    }

    /// Asks what the media of a room's legs came to so far. `reply` is called on the media thread and must not
    /// block; where there is no such room it is dropped.
    pub fn stats(&self, call: u64, reply: impl FnOnce(Vec<LegStats>) + Send + 'static) {
        self.send(call, Command::Stats(Box::new(reply)));
    }

    /// Recordings whose files are not whole yet.
    #[must_use]
    pub fn recordings(&self) -> usize {
        self.recorders.open()
    }

    /// Closes a room. Answered by [`Report::Closed`], also where there is none.
    pub fn close(&self, call: u64) {
        self.send(call, Command::Close);
    }

    fn send(&self, call: u64, command: Command) {
        let index = usize::try_from(call).unwrap_or(0) % self.threads.len();
        self.threads[index].send(Some((call, command)));
    }
}

#[cfg(test)]
mod tests;
