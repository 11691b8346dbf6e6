//! A telephone for tests: places one call over a real network with the [`Caller`] machine, plays
//! audio, sends digits, keeps what comes back.

mod audio;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use trunkline_call::{CallPlan, Caller, CallerEvent, CallerOutput, MediaStats};
use trunkline_media::Quality;
use trunkline_sdp::{Codec, Selection};
use trunkline_signalling::Timers;
use trunkline_sip::{Message, Transport as Kind, Uri, format_host};
use trunkline_transport::{Guard, GuardLimits, Listen, Received, Transport};

use audio::Digit;

use crate::clock::Clock;
use crate::random::random_key;

/// What to do in the call.
#[derive(Debug, Clone)]
pub struct PhonePlan {
    /// `sip:NUMBER@HOST[:PORT][;transport=tcp]`.
    pub target: String,
    /// The calling number.
    pub from: String,
    /// What to play; silence after it.
    pub audio: Vec<i16>,
    /// Digits to send once the audio has begun.
    pub dtmf: String,
    /// How long to talk.
    pub talk: Duration,
    /// Print the ladder.
    pub ladder: bool,
}

/// What the call came to.
#[derive(Debug, Clone)]
pub struct PhoneReport {
    /// From INVITE to the first provisional response above 100.
    pub ringing_after: Option<Duration>,
    /// From INVITE to 200.
    pub answered_after: Option<Duration>,
    /// From the first packet sent to the first heard.
    pub first_audio_after: Option<Duration>,
    /// The final refusal, where it was refused.
    pub ended: String,
    /// What was heard.
    pub heard: Vec<i16>,
    /// Reception figures.
    pub stats: MediaStats,
    /// RTP packets sent.
    pub sent: u64,
}

/// Messages that wait for the phone; one beyond them is lost, as on the way.
const QUEUE: usize = 256;
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(40);
/// Longest wait for the BYE to be answered.
const GOODBYE: Duration = Duration::from_secs(3);

/// One call in progress.
pub struct Phone {
    plan: PhonePlan,
    clock: Clock,
    transport: Arc<Transport>,
    received: mpsc::Receiver<Received>,
    caller: Caller,
    rtp: UdpSocket,
    selection: Option<Selection>,
    report: PhoneReport,
    quality: Quality,
    placed: Instant,
    first_sent: Option<Instant>,
    sequence: u16,
    timestamp: u32,
    played: usize,
    digit: Option<Digit>,
    over: bool,
}

impl Phone {
    /// Places the call.
    ///
    /// # Errors
    /// Where the target cannot be read or reached.
    pub async fn place(plan: PhonePlan) -> anyhow::Result<Self> {
        let uri = Uri::parse(&plan.target).with_context(|| format!("{:?}", plan.target))?;
        let host = uri.host().map(format_host).context("a sip: address is wanted")?;
        let kind = match uri.param("transport").as_deref() {
            None | Some("udp") => Kind::Udp,
            Some("tcp") => Kind::Tcp,
            Some(other) => bail!("transport {other:?} is not known; write tcp or udp"),
        };
        let bare = host.trim_matches(['[', ']']);
        let mut found = tokio::net::lookup_host((bare, uri.port().unwrap_or(5060))).await?;
        let remote = found.next().with_context(|| format!("{host} has no address"))?;
        let any: IpAddr = if remote.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        let (sender, received) = mpsc::channel(QUEUE);
        let listen = [Listen { kind: Kind::Udp, address: SocketAddr::new(any, 0) }];
        let guard = Arc::new(Guard::new(GuardLimits::default(), |_, _| true));
        let sink = Arc::new(move |message| {
            // The phone may be gone already, or have enough to do.
            let _ = sender.try_send(message);
            Ok(())
        });
        let transport = Transport::bind(&listen, None, guard, &[], sink)?;
        let flow = match kind {
            Kind::Udp => transport.udp_flow(remote)?,
            kind => transport.connect(kind, remote, bare).await.with_context(|| format!("{remote}"))?,
        };
        let rtp = UdpSocket::bind((flow.local.ip(), 0)).await?;
        let clock = Clock::start();
        let call = CallPlan {
            target: plan.target.clone(),
            from: format!("<sip:{}@{}>", plan.from, format_host(&flow.local.ip().into())),
            flow,
            media: rtp.local_addr()?,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            timers: Timers::default(),
            key: random_key()?,
            refer: false,
        };
        let caller = Caller::place(call, clock.now());
        let report = PhoneReport {
            ringing_after: None,
            answered_after: None,
            first_audio_after: None,
            ended: String::new(),
            heard: Vec::new(),
            stats: MediaStats::default(),
            sent: 0,
        };
        Ok(Self {
            plan,
            clock,
            transport,
            received,
            caller,
            rtp,
            selection: None,
            report,
            quality: Quality::default(),
            placed: Instant::now(),
            first_sent: None,
            sequence: 1,
            timestamp: 0,
            played: 0,
            digit: None,
            over: false,
        })
    }

    /// Talks for as long as planned, hangs up and tells what the call came to.
    pub async fn talk(mut self) -> PhoneReport {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut packet = [0; 2048];
        let mut hang_up_at = self.placed + ANSWER;
        let mut give_up_at = None;
        let mut answered = false;
        self.drain();
        while !(self.over && self.caller.is_idle()) {
            if self.over && give_up_at.is_none() {
                give_up_at = Some(Instant::now() + GOODBYE);
            }
            if give_up_at.is_some_and(|at| at <= Instant::now()) {
                break;
            }
            let deadline = self.caller.poll_timeout().map_or(hang_up_at, |at| self.clock.instant(at));
            tokio::select! {
                message = self.received.recv() => match message {
                    Some(message) => self.message(message),
                    None => break,
                },
                _ = tick.tick() => {
                    self.send_frame().await;
                    if self.over && self.finished() {
                        break;
                    }
                }
                heard = self.rtp.recv_from(&mut packet) => {
                    if let Ok((length, from)) = heard {
                        self.hear(&packet[..length], from.ip());
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => self.caller.handle_timeout(self.clock.now()),
            }
            if !answered && self.report.answered_after.is_some() {
                answered = true;
                hang_up_at = Instant::now() + self.plan.talk;
            }
            if hang_up_at <= Instant::now() && !self.over && give_up_at.is_none() {
                self.caller.hang_up(self.clock.now());
                give_up_at = Some(Instant::now() + GOODBYE);
            }
            self.drain();
        }
        let sent = self.report.sent;
        self.report.stats = MediaStats { packets_sent: sent, ..self.quality.stats() };
        self.report
    }

    /// After the end only lingering transactions are left, which nobody waits for.
    const fn finished(&self) -> bool {
        self.over
    }

    fn message(&mut self, received: Received) {
        match received {
            Received::Message(message, flow, _) => {
                self.ladder("◀──", &first_line(&message));
                self.caller.receive(*message, flow, self.clock.now());
            }
            Received::ConnectionLost(_) | Received::Unsent(_) => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.caller.poll_output() {
            match output {
                CallerOutput::Transmit(transmit) => {
                    let line = transmit.payload.split(|b| *b == b'\r').next().unwrap_or_default();
                    self.ladder("──▶", &String::from_utf8_lossy(line));
                    self.transport.send(transmit);
                }
                CallerOutput::Event(event) => self.event(event),
            }
        }
    }

    fn event(&mut self, event: CallerEvent) {
        let elapsed = self.placed.elapsed();
        match event {
            CallerEvent::Progress(_, selection) => {
                self.report.ringing_after.get_or_insert(elapsed);
                self.selection = selection.or(self.selection.take());
            }
            CallerEvent::Answered(selection) => {
                self.report.answered_after = Some(elapsed);
                self.selection = Some(selection);
            }
            // It is refused before it is told.
            CallerEvent::Refer => {}
            CallerEvent::Ended(why) => {
                self.report.ended = format!("{why:?}");
                self.over = true;
            }
        }
    }

    fn ladder(&self, arrow: &str, line: &str) {
        if self.plan.ladder {
            println!("  {:>8.1} ms  {arrow}  {line}", self.placed.elapsed().as_secs_f64() * 1000.0);
        }
    }
}

fn first_line(message: &Message) -> String {
    match message {
        Message::Request(request) => format!("{} {}", request.method, request.target),
        Message::Response(response) => format!("{} {}", response.code(), response.reason),
    }
}
