//! Micro-benchmarks: parse, write, route, a transaction, a whole call through a shard, RTP in and out, a frame to
//! and from an agent.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use trunkline_agent::FromAgent;
use trunkline_agent::twilio::{Writer, read};
use trunkline_agent::{Sids, Tone};
use trunkline_media::rehearsal::Rehearsal;
use trunkline_media::{Participant, Playout, Receiver, RtpHeader, write_rtp};
use trunkline_routing::{InboundCall, Source, decide, load};
use trunkline_signalling::{Inbound, KeyedHash, Mono, Timers, Transactions};
use trunkline_sip::{Flow, Message, Request, Transport, read};
use trunkline_testkit::{AgentPlan, Faults, Plan, Terms, World};

const INVITE: &str = "INVITE sip:+14155550100@gw.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 54.172.60.1:5060;branch=z9hG4bK1a2b;rport\r\nRecord-Route: <sip:54.172.60.1;lr;ftag=1234>\r\nFrom: \"+14155550199\" <sip:+14155550199@pstn.twilio.com>;tag=1234\r\nTo: <sip:+14155550100@gw.example.com>\r\nCall-ID: 0123456789abcdef@10.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:+14155550199@10.0.0.1:5060;transport=udp>\r\nMax-Forwards: 64\r\nAllow: INVITE,ACK,CANCEL,OPTIONS,BYE\r\nUser-Agent: Twilio Gateway\r\nP-Asserted-Identity: <sip:+14155550199@pstn.twilio.com>\r\nDiversion: <sip:+14155550122@x>;reason=unconditional\r\nX-Twilio-CallSid: CA00000000000000000000000000000000\r\nContent-Type: application/sdp\r\nContent-Length: 240\r\n\r\nv=0\r\no=root 185 185 IN IP4 168.86.128.1\r\ns=Twilio Media Gateway\r\nc=IN IP4 168.86.128.1\r\nt=0 0\r\nm=audio 10000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

fn invite() -> Request {
    match read::datagram(&Bytes::from_static(INVITE.as_bytes())) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn messages(c: &mut Criterion) {
    let bytes = Bytes::from_static(INVITE.as_bytes());
    c.bench_function("parse an INVITE", |b| b.iter(|| read::datagram(black_box(&bytes))));
    let request = invite();
    c.bench_function("write an INVITE", |b| b.iter(|| black_box(&request).to_bytes()));
    // The bound is 5 ms for any 64 KiB.
    for (name, filling) in [("semicolons", ";"), ("commas", ","), ("quotes", "\""), ("folds", "\r\n ")] {
        let worst = Bytes::from(format!(
            "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x{}",
            filling.repeat(64_000 / filling.len())
        ));
        c.bench_function(&format!("read and check 64 KiB of {name}"), |b| {
            b.iter(|| {
                if let Ok(Message::Request(request)) = read::datagram(black_box(&worst)) {
                    let _ = black_box(trunkline_sip::check::request(&request));
                }
            });
        });
    }
}

fn routing(c: &mut Criterion) {
    use std::fmt::Write;
    let mut text = "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"54.172.60.0/30\"]\n[[agent]]\nname = \"a\"\nconnect = \"builtin:echo\"\n".to_owned();
    for n in 0..100_000 {
        let _ = write!(text, "[[number]]\nnumber = \"+1415{n:07}\"\ninbound = \"a\"\n");
    }
    let sources = [Source { name: "t".to_owned(), text }];
    c.bench_function("load 100,000 numbers", |b| b.iter(|| load(black_box(&sources), None)));
    let (table, _) = load(&sources, None).expect("loads");
    let number = trunkline_routing::E164::parse("+14155550100").expect("number");
    c.bench_function("look a number up", |b| b.iter(|| table.numbers.get(black_box(&number))));
    let request = invite();
    let call =
        InboundCall { source: IpAddr::from([54, 172, 60, 1]), names: &[], proved: None, request: &request };
    c.bench_function("decide a call", |b| b.iter(|| decide(&table, black_box(&call), &mut None)));
}

/// One server transaction over UDP: the request in, its response out, Timer J.
fn transactions(c: &mut Criterion) {
    let text = "OPTIONS sip:gw@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@192.0.2.20>;tag=1\r\nTo: <sip:gw@192.0.2.10>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let message = read::datagram(&Bytes::from_static(text.as_bytes())).expect("a request");
    let flow = Flow {
        transport: Transport::Udp,
        local: ([192, 0, 2, 10], 5060).into(),
        remote: ([192, 0, 2, 20], 5060).into(),
        connection: None,
    };
    let mut layer = Transactions::new(Timers::default(), KeyedHash::new((1, 2)));
    let mut now = Mono(Duration::ZERO);
    c.bench_function("a server transaction, from request to its end", |b| {
        b.iter(|| {
            layer.receive(black_box(message.clone()), flow, now);
            let Some(Inbound::Request(tx, request, _)) = layer.poll_inbound() else { panic!("a request") };
            layer.respond(tx, &trunkline_sip::reply::to(&request, 200, Some("tag")), now);
            black_box(layer.poll_transmit());
            now = layer.poll_timeout().expect("Timer J");
            layer.handle_timeout(now);
            assert!(layer.is_idle());
        });
    });
}

fn calls(c: &mut Criterion) {
    let plan = Plan {
        faults: Faults::NONE,
        seed: 1,
        agent: AgentPlan::Comes(Duration::ZERO),
        ports: true,
        caller_leaves: Duration::from_secs(5),
        agent_leaves: None,
        terms: Terms::default(),
        callee: None,
        transfer: None,
    };
    c.bench_function("a whole call, both sides, to the last timer", |b| {
        b.iter(|| {
            let mut world = World::new(plan);
            world.run(Duration::from_secs(100));
            assert!(world.is_idle());
        });
    });
}

fn media(c: &mut Criterion) {
    let header = RtpHeader { marker: false, payload_type: 0, sequence: 1, timestamp: 160, ssrc: 9 };
    let mut packet = [0; 172];
    let length = write_rtp(&header, &[0xff; 160], &mut packet);
    let mut receiver = Receiver::default();
    let mut sequence = 0u16;
    c.bench_function("RTP in, ordered, out", |b| {
        b.iter(|| {
            sequence = sequence.wrapping_add(1);
            let (header, payload) = RtpHeader::read(black_box(&packet[..length])).expect("RTP");
            let mut out = [0; 172];
            receiver.push(&RtpHeader { sequence, ..header }, payload, |ordered| {
                black_box(&ordered);
            });
            write_rtp(&header, payload, &mut out)
        });
    });
    let sids = Sids::of("gw", "call");
    let mut writer = Writer::new(sids);
    c.bench_function("a frame to an agent", |b| b.iter(|| writer.media(black_box(&[0xff; 160]), 20)));
    let text = format!(
        "{{\"event\":\"media\",\"streamSid\":\"MZ\",\"media\":{{\"payload\":\"{}\"}}}}",
        "////".repeat(107)
    );
    let (mut audio, mut playout) = (Vec::new(), Playout::default());
    c.bench_function("40 ms from an agent, played", |b| {
        b.iter(|| {
            let now = Instant::now();
            assert_eq!(read(black_box(&text), &mut audio), FromAgent::Media);
            playout.push(&audio, now);
            let mut packet = [0; 160];
            while playout.len() > 320 {
                playout.take(&mut packet, 0xff, now + Duration::from_secs(1));
            }
        });
    });
}

/// What 20 ms of a room cost, socket writes in it and reads not.
fn rooms(c: &mut Criterion) {
    let agent = Some(Box::new(Tone::default()) as Box<dyn Participant>);
    let rooms = [
        ("a leg and an agent, 20 ms", Rehearsal::new(1, agent)),
        ("two legs undecoded, 20 ms", Rehearsal::new(2, None)),
        ("three legs mixed, 20 ms", Rehearsal::new(3, None)),
    ];
    for (name, room) in rooms {
        let mut room = room.expect("ports");
        c.bench_function(name, |b| b.iter(|| room.packet_time()));
    }
}

criterion_group!(benches, messages, routing, transactions, calls, media, rooms);
criterion_main!(benches);
