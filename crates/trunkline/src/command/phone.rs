//! A telephone for tests: places one call over a real network with the [`Caller`] machine, plays
//! audio, sends digits, keeps what comes back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use trunkline_call::{CallPlan, Caller, CallerEvent, CallerOutput, MediaStats};
use trunkline_media::{
    Quality, RtpHeader, alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear, write_rtp,
};
use trunkline_sdp::{Codec, Selection};
use trunkline_signalling::Timers;
use trunkline_sip::{Message, Transport as Kind, Uri, format_host};
use trunkline_transport::{Guard, GuardLimits, Listen, Received, Transport};

use crate::clock::Clock;
use crate::gateway::random_key;

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

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(40);
/// Longest wait for the BYE to be answered.
const GOODBYE: Duration = Duration::from_secs(3);
/// Samples in a packet of 20 ms.
const FRAME: usize = 160;

/// One call in progress.
pub struct Phone {
    plan: PhonePlan,
    clock: Clock,
    transport: Arc<Transport>,
    received: mpsc::UnboundedReceiver<Received>,
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

/// A key press on its way.
struct Digit {
    left: String,
    event: u8,
    timestamp: u32,
    packets: u16,
}

/// Packets of a key press: 100 ms, then its end three times (RFC 4733 §2.5.1.4).
const PRESS: u16 = 5;
/// Packets of silence between two key presses.
const PAUSE: u16 = 5;

impl Phone {
    /// Places the call.
    ///
    /// # Errors
    /// Where the target cannot be read or reached.
    pub async fn place(plan: PhonePlan) -> anyhow::Result<Self> {
        let uri = Uri::parse(&plan.target).with_context(|| format!("{:?}", plan.target))?;
        let host = uri
            .host()
            .map(format_host)
            .context("a sip: address is wanted")?;
        let kind = match uri.param("transport").as_deref() {
            None | Some("udp") => Kind::Udp,
            Some("tcp") => Kind::Tcp,
            Some(other) => bail!("transport {other:?} is not known; write tcp or udp"),
        };
        let bare = host.trim_matches(['[', ']']);
        let mut found = tokio::net::lookup_host((bare, uri.port().unwrap_or(5060))).await?;
        let remote = found
            .next()
            .with_context(|| format!("{host} has no address"))?;
        let any: IpAddr = if remote.is_ipv4() {
            [0, 0, 0, 0].into()
        } else {
            [0u16; 8].into()
        };
        let (sender, received) = mpsc::unbounded_channel();
        let listen = [Listen {
            kind: Kind::Udp,
            address: SocketAddr::new(any, 0),
        }];
        let guard = Arc::new(Guard::new(GuardLimits::default(), |_| true));
        let sink = Arc::new(move |message| {
            // The phone may be gone already.
            let _ = sender.send(message);
        });
        let transport = Transport::bind(&listen, None, guard, sink)?;
        let flow = match kind {
            Kind::Udp => transport.udp_flow(remote)?,
            kind => transport
                .connect(kind, remote, bare)
                .await
                .with_context(|| format!("{remote}"))?,
        };
        let rtp = UdpSocket::bind((flow.local.ip(), 0)).await?;
        let clock = Clock::start();
        let call = CallPlan {
            target: plan.target.clone(),
            from: format!(
                "<sip:{}@{}>",
                plan.from,
                format_host(&flow.local.ip().into())
            ),
            flow,
            media: rtp.local_addr()?,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            timers: Timers::default(),
            key: random_key()?,
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
            let deadline = self
                .caller
                .poll_timeout()
                .map_or(hang_up_at, |at| self.clock.instant(at));
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
                    if let Ok((length, _)) = heard {
                        self.hear(&packet[..length]);
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
        self.report.stats = MediaStats {
            packets_sent: sent,
            ..self.quality.stats()
        };
        self.report
    }

    /// After the end only lingering transactions are left, which nobody waits for.
    const fn finished(&self) -> bool {
        self.over
    }

    fn message(&mut self, received: Received) {
        match received {
            Received::Message(message, flow) => {
                self.ladder("◀──", &first_line(&message));
                self.caller.receive(*message, flow, self.clock.now());
            }
            Received::ConnectionLost(_) => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.caller.poll_output() {
            match output {
                CallerOutput::Transmit(transmit) => {
                    let line = transmit
                        .payload
                        .split(|b| *b == b'\r')
                        .next()
                        .unwrap_or_default();
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
            CallerEvent::Ended(why) => {
                self.report.ended = format!("{why:?}");
                self.over = true;
            }
        }
    }

    fn ladder(&self, arrow: &str, line: &str) {
        if self.plan.ladder {
            println!(
                "  {:>8.1} ms  {arrow}  {line}",
                self.placed.elapsed().as_secs_f64() * 1000.0
            );
        }
    }

    async fn send_frame(&mut self) {
        let Some(selection) = self.selection.clone() else {
            return;
        };
        let Some(remote) = selection
            .remote
            .filter(|_| self.report.answered_after.is_some())
        else {
            return;
        };
        let mut out = [0; 400];
        let length = match self.next_event(&selection) {
            Some((payload, marker, timestamp)) => {
                let payload_type = selection.events.unwrap_or(101);
                self.rtp_packet(payload_type, marker, timestamp, &payload, &mut out)
            }
            None => {
                let frame = self.next_audio(selection.codec);
                let timestamp = self.timestamp;
                self.rtp_packet(
                    selection.payload_type,
                    self.played <= FRAME,
                    timestamp,
                    &frame,
                    &mut out,
                )
            }
        };
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        self.first_sent.get_or_insert_with(Instant::now);
        if self.rtp.send_to(&out[..length], remote).await.is_ok() {
            self.report.sent += 1;
        }
    }

    fn rtp_packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        out: &mut [u8],
    ) -> usize {
        let header = RtpHeader {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: 0x7472_756e,
        };
        self.sequence = self.sequence.wrapping_add(1);
        write_rtp(&header, payload, out)
    }

    fn next_audio(&mut self, codec: Codec) -> [u8; FRAME] {
        let encode = match codec {
            Codec::Pcmu => linear_to_ulaw,
            Codec::Pcma => linear_to_alaw,
        };
        let mut frame = [encode(0); FRAME];
        for (place, sample) in frame
            .iter_mut()
            .zip(self.plan.audio.iter().skip(self.played))
        {
            *place = encode(*sample);
        }
        self.played += FRAME;
        // Digits follow half a second into the audio.
        if self.digit.is_none() && self.played >= FRAME * 25 && !self.plan.dtmf.is_empty() {
            let left = std::mem::take(&mut self.plan.dtmf);
            self.digit = Some(Digit {
                left,
                event: 0,
                timestamp: 0,
                packets: PRESS + 3 + PAUSE,
            });
        }
        frame
    }

    /// The next packet of a key press, its marker and its timestamp.
    fn next_event(&mut self, selection: &Selection) -> Option<([u8; 4], bool, u32)> {
        selection.events?;
        let digit = self.digit.as_mut()?;
        if digit.packets >= PRESS + 3 {
            if digit.packets < PRESS + 3 + PAUSE {
                digit.packets += 1;
                return None;
            }
            let Some(next) = digit.left.chars().next() else {
                self.digit = None;
                return None;
            };
            digit.left.remove(0);
            digit.event = match next {
                '0'..='9' => next as u8 - b'0',
                '*' => 10,
                '#' => 11,
                'A'..='D' => next as u8 - b'A' + 12,
                _ => return None,
            };
            digit.timestamp = self.timestamp;
            digit.packets = 0;
        }
        let ended = digit.packets >= PRESS;
        let [high, low] = ((digit.packets + 1).min(PRESS) * FRAME as u16).to_be_bytes();
        let marker = digit.packets == 0;
        digit.packets += 1;
        let flags = if ended { 0x8a } else { 0x0a };
        Some(([digit.event, flags, high, low], marker, digit.timestamp))
    }

    fn hear(&mut self, packet: &[u8]) {
        let Some((header, payload)) = RtpHeader::read(packet) else {
            return;
        };
        let decode = match self.selection.as_ref().map(|selection| selection.codec) {
            Some(Codec::Pcma) => alaw_to_linear,
            _ => ulaw_to_linear,
        };
        if let Some(first) = self.first_sent {
            self.report.first_audio_after.get_or_insert(first.elapsed());
        }
        let arrival = (self.placed.elapsed().as_micros() / 125) as u32;
        self.quality
            .received(header.ssrc, header.sequence, header.timestamp, arrival);
        self.report
            .heard
            .extend(payload.iter().map(|byte| decode(*byte)));
    }
}

fn first_line(message: &Message) -> String {
    match message {
        Message::Request(request) => format!("{} {}", request.method, request.target),
        Message::Response(response) => format!("{} {}", response.code(), response.reason),
    }
}
