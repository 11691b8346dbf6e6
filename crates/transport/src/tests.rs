use super::*;

fn transport(listen: &[(Kind, &str)]) -> Arc<Transport> {
    let listen: Vec<Listen> = listen
        .iter()
        .map(|(kind, address)| Listen { kind: *kind, address: address.parse().expect("address") })
        .collect();
    let guard = Arc::new(Guard::new(GuardLimits::default(), |_, _| true));
    let server = ["127.0.0.1:9".parse().expect("address")];
    Transport::bind(&listen, None, guard, &server, Arc::new(|_| Ok(()))).expect("bound")
}

#[tokio::test]
async fn of_several_udp_listeners_the_one_on_the_route_is_used() {
    let both = [(Kind::Udp, "127.0.0.2:0"), (Kind::Udp, "0.0.0.0:0"), (Kind::Udp, "127.0.0.1:0")];
    let remote = "127.0.0.1:9".parse().expect("address");
    let chosen = |listen: &[(Kind, &str)]| {
        let transport = transport(listen);
        let flow = transport.udp_flow(remote).expect("a flow");
        let listener = transport.local().iter().position(|(_, own)| own.port() == flow.local.port());
        (listener, flow.local.ip().to_string())
    };
    assert_eq!(chosen(&both), (Some(2), "127.0.0.1".to_owned()), "the one bound to the route's address");
    assert_eq!(chosen(&both[..2]), (Some(1), "127.0.0.1".to_owned()), "the one that stands for all");
    assert_eq!(chosen(&both[..1]), (Some(0), "127.0.0.2".to_owned()), "the only one");
}

#[tokio::test]
async fn a_listener_on_every_ipv6_address_says_the_address_of_the_route() {
    let transport = transport(&[(Kind::Udp, "[::]:0"), (Kind::Tcp, "[::]:0")]);
    let remote: SocketAddr = "[::1]:9".parse().expect("address");
    let flow = transport.udp_flow(remote).expect("a flow");
    assert_eq!(flow.local, SocketAddr::new(remote.ip(), transport.local()[0].1.port()));
    assert!(transport.udp_flow("127.0.0.1:9".parse().expect("address")).is_err(), "no such family");
}

#[tokio::test]
async fn a_large_message_goes_over_tcp_and_over_udp_where_that_is_refused() {
    let transport = transport(&[(Kind::Udp, "127.0.0.1:0"), (Kind::Tcp, "127.0.0.1:0")]);
    let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = peer.local_addr().expect("bound").port();
    let hop = Hop {
        host: trunkline_sip::Host::IpAddr([127, 0, 0, 1].into()),
        port: Some(port),
        transport: None,
        name: None,
    };
    let way = async |bytes| {
        let (flow, more) = transport.flow_to(&hop, bytes, 0).await.expect("a way");
        (flow.transport, more)
    };
    assert_eq!(way(1300).await, (Kind::Udp, false));
    assert_eq!(way(1301).await, (Kind::Tcp, true));
    drop(peer);
    let closed = Hop { port: Some(9), ..hop.clone() };
    let (flow, more) = transport.flow_to(&closed, 1301, 0).await.expect("a way");
    assert_eq!((flow.transport, more), (Kind::Udp, false));
}
