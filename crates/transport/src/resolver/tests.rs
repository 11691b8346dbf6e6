use std::collections::BTreeMap;

use super::*;

/// Records by their name; a name `broken` fails.
#[derive(Default)]
struct Book {
    naptr: BTreeMap<String, Vec<Naptr>>,
    srv: BTreeMap<String, Vec<Srv>>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

fn find<T: Clone>(map: &BTreeMap<String, Vec<T>>, name: &str) -> Result<Vec<T>, DnsError> {
    if name.contains("broken") {
        return Err(DnsError::Unavailable);
    }
    map.get(name).cloned().ok_or(DnsError::NotFound)
}

impl Dns for Book {
    fn naptr<'a>(&'a self, domain: &'a str) -> Answer<'a, Naptr> {
        Box::pin(async move {
            match domain {
                "fails.example" => Err(DnsError::Unavailable),
                domain => find(&self.naptr, domain),
            }
        })
    }
    fn srv<'a>(&'a self, service: &'a str) -> Answer<'a, Srv> {
        Box::pin(async move { find(&self.srv, service) })
    }
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, IpAddr> {
        Box::pin(async move { find(&self.hosts, host) })
    }
}

fn book() -> Book {
    let mut book = Book::default();
    let naptr = |order, service: &str, replacement: &str| Naptr {
        order,
        preference: 1,
        service: service.to_owned(),
        replacement: replacement.to_owned(),
    };
    let srv =
        |priority, weight, target: &str| Srv { priority, weight, port: 5070, target: target.to_owned() };
    book.naptr.insert(
        "all.example".to_owned(),
        vec![naptr(20, "SIP+D2U", "_sip._udp.all.example"), naptr(10, "SIPS+D2T", "_sips._tcp.all.example")],
    );
    book.naptr.insert(
        "udp.example".to_owned(),
        vec![naptr(10, "SIP+D2U", "_sip._udp.udp.example"), naptr(20, "SIP+D2T", "_sip._tcp.udp.example")],
    );
    book.srv.insert("_sip._udp.udp.example".to_owned(), vec![srv(1, 0, "b.example")]);
    book.srv.insert("_sip._tcp.udp.example".to_owned(), vec![srv(1, 0, "a.example")]);
    book.srv.insert("_sips._tcp.all.example".to_owned(), vec![srv(1, 0, "a.example")]);
    book.srv.insert(
        "_sip._udp.all.example".to_owned(),
        vec![srv(2, 0, "b.example"), srv(1, 0, "gone.example"), srv(1, 0, "a.example")],
    );
    // A domain that says no to SIP over UDP and knows of nothing else, and one whose server fails at NAPTR.
    book.srv.insert("_sip._udp.none.example".to_owned(), vec![srv(0, 0, ".")]);
    book.srv.insert("_sip._udp.fails.example".to_owned(), vec![srv(1, 0, "a.example")]);
    book.srv.insert("_sip._tcp.tcp.example".to_owned(), vec![srv(1, 0, "a.example")]);
    for (name, last) in [("a.example", 1), ("b.example", 2), ("plain.example", 3), ("none.example", 4)] {
        book.hosts.insert(name.to_owned(), vec![IpAddr::from([192, 0, 2, last])]);
    }
    book
}

fn ask(
    host: &str,
    port: Option<u16>,
    transport: Option<Kind>,
    bytes: usize,
) -> Result<Vec<String>, DnsError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let host = trunkline_sip::parse_host(host).expect("a host");
    let hop = Hop { host, port, transport, name: None };
    let found = runtime.block_on(resolve(&book(), &hop, bytes, &mut || 0))?;
    Ok(found.into_iter().map(|(kind, address)| format!("{kind} {address}")).collect())
}

#[test]
fn naptr_orders_the_transports_and_srv_the_hosts() {
    let found = ask("all.example", None, None, 500).expect("found");
    assert_eq!(found, ["TLS 192.0.2.1:5070", "UDP 192.0.2.1:5070", "UDP 192.0.2.2:5070"]);
}

#[test]
fn a_port_means_no_srv_and_a_transport_no_naptr() {
    assert_eq!(ask("all.example", Some(5080), None, 500), Err(DnsError::NotFound));
    assert_eq!(ask("a.example", Some(5080), None, 500).expect("found"), ["UDP 192.0.2.1:5080"]);
    let found = ask("all.example", None, Some(Kind::Udp), 500).expect("found");
    assert_eq!(found, ["UDP 192.0.2.1:5070", "UDP 192.0.2.2:5070"]);
}

#[test]
fn without_records_the_address_is_asked_for_and_large_messages_go_over_tcp() {
    assert_eq!(ask("plain.example", None, None, 500).expect("found"), ["UDP 192.0.2.3:5060"]);
    assert_eq!(
        ask("plain.example", None, None, 1301).expect("found"),
        ["TCP 192.0.2.3:5060", "UDP 192.0.2.3:5060"]
    );
    assert_eq!(ask("plain.example", None, Some(Kind::Tls), 500).expect("found"), ["TLS 192.0.2.3:5061"]);
    assert_eq!(ask("tcp.example", None, None, 500).expect("found"), ["TCP 192.0.2.1:5070"]);
    assert_eq!(ask("[2001:db8::1]", None, None, 500).expect("found"), ["UDP [2001:db8::1]:5060"]);
}

#[test]
fn no_name_and_no_server_are_told_apart() {
    assert_eq!(ask("nobody.example", None, None, 500), Err(DnsError::NotFound));
    assert_eq!(ask("broken.example", None, None, 500), Err(DnsError::Unavailable));
}

#[test]
fn a_failure_at_naptr_is_no_more_than_its_absence() {
    assert_eq!(ask("fails.example", None, None, 500).expect("found"), ["UDP 192.0.2.1:5070"]);
}

#[test]
fn a_root_target_means_not_there() {
    // Its A record is somebody's web server.
    assert_eq!(ask("none.example", None, None, 500), Err(DnsError::NotFound));
}

#[test]
fn large_messages_go_over_udp_last_whatever_the_domain_prefers() {
    let found = ask("udp.example", None, None, 1301).expect("found");
    assert_eq!(found, ["TCP 192.0.2.1:5070", "UDP 192.0.2.2:5070"]);
    let found = ask("192.0.2.9", Some(5080), None, 1301).expect("found");
    assert_eq!(found, ["TCP 192.0.2.9:5080", "UDP 192.0.2.9:5080"]);
    assert_eq!(ask("192.0.2.9", None, Some(Kind::Udp), 1301).expect("found"), ["UDP 192.0.2.9:5060"]);
}

#[test]
fn weights_share_the_load() {
    let records = vec![
        Srv { priority: 1, weight: 10, port: 1, target: "light".to_owned() },
        Srv { priority: 1, weight: 90, port: 1, target: "heavy".to_owned() },
        Srv { priority: 0, weight: 0, port: 1, target: "first".to_owned() },
    ];
    let mut seed = 1u64;
    let mut dice = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut heavy = 0;
    for _ in 0..1000 {
        let order = ordered(records.clone(), &mut dice);
        assert_eq!((order.len(), order[0].target.as_str()), (3, "first"));
        heavy += u32::from(order[1].target == "heavy");
    }
    assert!((850..=950).contains(&heavy), "{heavy} of 1000");
}
