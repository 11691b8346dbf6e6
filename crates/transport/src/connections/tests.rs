use std::sync::Mutex;

use tokio::io::duplex;
use tokio::time::Instant;

use super::*;
use crate::GuardLimits;

type Heard = Arc<Mutex<Vec<Received>>>;

fn connections() -> (Arc<Connections>, Heard) {
    let heard = Heard::default();
    let guard = Arc::new(Guard::new(GuardLimits::default(), |_, _| true));
    let told = Arc::clone(&heard);
    let sink: Sink = Arc::new(move |received| {
        told.lock().expect("no panic").push(received);
        Ok(())
    });
    (Arc::new(Connections::new(None, guard, sink)), heard)
}

async fn peer() -> (TcpListener, SocketAddr) {
    let peer = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = peer.local_addr().expect("bound");
    (peer, address)
}

fn flow() -> Flow {
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    Flow { transport: Kind::Tcp, local: address(5060), remote: address(5070), connection: Some(7) }
}

fn lost(heard: &Heard) -> bool {
    heard.lock().expect("no panic").iter().any(|r| matches!(r, Received::ConnectionLost(7)))
}

#[tokio::test]
async fn a_connection_that_we_open_is_known_by_our_listener() {
    let (connections, _) = connections();
    let (_peer, remote) = peer().await;
    let alone = connections.flow_to(Kind::Tcp, remote, "peer").await.expect("opened");
    assert_ne!(alone.local.port(), 0, "without a listener of that kind it is what it is");
    let (other, elsewhere) = peer().await;
    let bound = connections.listen(Kind::Tcp, "0.0.0.0:0".parse().expect("address")).expect("bound");
    let flow = connections.flow_to(Kind::Tcp, elsewhere, "peer").await.expect("opened");
    assert_eq!(flow.local, SocketAddr::new([127, 0, 0, 1].into(), bound.port()));
    let (_, source) = other.accept().await.expect("accepted");
    assert_ne!(source, flow.local, "its own port is another");
}

#[tokio::test]
async fn a_burst_to_one_place_opens_one_connection() {
    let (connections, _) = connections();
    let (peer, remote) = peer().await;
    let ways = (0..50).map(|_| {
        let connections = Arc::clone(&connections);
        tokio::spawn(async move { connections.flow_to(Kind::Tcp, remote, "peer").await.expect("opened") })
    });
    let ways: Vec<_> = ways.collect();
    let mut flows = Vec::new();
    for way in ways {
        flows.push(way.await.expect("no panic"));
    }
    assert!(flows.windows(2).all(|pair| pair[0] == pair[1]), "{flows:?}");
    let _first = peer.accept().await.expect("accepted");
    let second = timeout(Duration::ZERO, peer.accept()).await;
    assert!(second.is_err(), "there is no second one");
    assert!(connections.opening.is_empty());
}

#[tokio::test]
async fn all_who_wait_for_a_connection_hear_that_it_is_refused() {
    let (connections, _) = connections();
    let (peer, remote) = peer().await;
    drop(peer);
    let (one, other) = tokio::join!(
        connections.flow_to(Kind::Tcp, remote, "peer"),
        connections.flow_to(Kind::Tcp, remote, "peer"),
    );
    let kind = |outcome: io::Result<Flow>| outcome.expect_err("nobody listens").kind();
    assert_eq!([kind(one), kind(other)], [io::ErrorKind::ConnectionRefused; 2]);
    assert!(connections.opening.is_empty());
}

/// Serves one end of a pipe; gives the other end and the queue to it.
fn serve(connections: &Arc<Connections>, pipe: usize) -> (tokio::io::DuplexStream, mpsc::Sender<Bytes>) {
    let (ours, theirs) = duplex(pipe);
    let (writer, queue) = mpsc::channel(QUEUE);
    let this = Arc::clone(connections);
    tokio::spawn(async move { this.run(ours, Path { flow: flow(), names: None }, queue).await });
    (theirs, writer)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_for_ten_minutes_is_closed() {
    let (connections, heard) = connections();
    let start = Instant::now();
    let (mut peer, _writer) = serve(&connections, 4096);
    tokio::time::sleep(Duration::from_secs(599)).await;
    peer.write_all(b"\r\n\r\n").await.expect("open");
    let mut pong = [0; 2];
    peer.read_exact(&mut pong).await.expect("a peer's ping keeps it");
    assert!(!lost(&heard));
    assert_eq!(peer.read(&mut pong).await.expect("its end"), 0);
    assert_eq!(start.elapsed().as_secs(), 599 + 600);
    assert!(lost(&heard));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_end_and_a_peer_that_does_not_read_end_the_connection() {
    let (connections, heard) = connections();
    let start = Instant::now();
    let (mut peer, _writer) = serve(&connections, 4096);
    peer.write_all(b"OPTIONS sip:a SIP/2.0\r\n").await.expect("open");
    assert_eq!(peer.read(&mut [0; 16]).await.expect("its end"), 0);
    assert_eq!(start.elapsed(), MESSAGE_TIME);
    heard.lock().expect("no panic").clear();
    // A pipe of 16 bytes that nobody empties.
    let start = Instant::now();
    let (peer, writer) = serve(&connections, 16);
    writer.send(Bytes::from_static(&[b'x'; 100])).await.expect("open");
    writer.closed().await;
    assert!(lost(&heard));
    assert!((MESSAGE_TIME..MESSAGE_TIME + GOODBYE_TIME * 2).contains(&start.elapsed()));
    drop(peer);
}
