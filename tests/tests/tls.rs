//! SIP over TLS: OpenSSL against the listener, a telephone's call, certificates that change while
//! the daemon runs, and clients known by their certificate.

use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use trunkline_tests::baresip::Baresip;
use trunkline_tests::certificates::Authority;
use trunkline_tests::daemon::{PATIENCE, free_port, poll};
use trunkline_tests::{Daemon, Setup, http};

const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

/// Nobody's address is allowed; who calls shows a certificate.
const BY_NAME: &str = r#"
[[trunk]]
name = "acme"
address = "sbc.acme.example"
require_certificate = true
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

fn start(tables: &str, authority: &Authority, more: &str) -> (Daemon, u16) {
    authority.sign("server", "DNS:localhost,IP:127.0.0.1");
    let port = free_port();
    let tls = format!(
        "unknown_peers = \"reject\"\n[sip.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n{more}\n",
        authority.path("server.pem"),
        authority.path("server.key"),
    );
    (Setup::new(tables).listener(&format!("tls:127.0.0.1:{port}")).sip(&tls).start(), port)
}

/// An `openssl s_client` that verifies the daemon's certificate.
struct Client {
    child: Child,
    heard: Receiver<String>,
}

impl Client {
    fn new(authority: &Authority, port: u16, more: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
            .args(["-CAfile", &authority.path("ca.pem"), "-verify_return_error", "-quiet"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let heard = listen_to(child.stdout.take().expect("piped"));
        Self { child, heard }
    }

    /// Sends a request and gives the first bytes that come back; nothing where the daemon closes.
    fn ask(&mut self, method: &str, user: &str) -> String {
        self.ask_at(method, user, 9)
    }

    /// The same with the port of the Contact.
    fn ask_at(&mut self, method: &str, user: &str, contact: u16) -> String {
        let request = format!(
            "{method} sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@b>;tag=1\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: tls-{method}\r\nCSeq: 1 {method}\r\nContact: <sip:a@127.0.0.1:{contact};transport=tls>\r\nContent-Length: 0\r\n\r\n"
        );
        self.say(&request);
        self.heard.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

impl Client {
    fn say(&mut self, text: &str) {
        // A client that was refused has closed its side already.
        let _ = self.child.stdin.as_mut().map(|stdin| stdin.write_all(text.as_bytes()));
    }

    /// Reads until something with `text` in it has come.
    fn until(&mut self, text: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(text) {
            let more = self.heard.recv_timeout(PATIENCE);
            heard += &more.unwrap_or_else(|_| panic!("{text} never came: {heard}"));
        }
        heard
    }
}

/// What a program prints, as it comes, until it ends.
fn listen_to(mut stdout: ChildStdout) -> Receiver<String> {
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    heard
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tls_1_2_and_1_3_get_sip_answers_and_1_1_is_refused() {
    let authority = Authority::new("versions");
    let (_daemon, port) = start(TABLES, &authority, "");
    let options = |version: &[&str]| Client::new(&authority, port, version).ask("OPTIONS", "gw");
    assert!(options(&["-tls1_2"]).starts_with("SIP/2.0 200 OK"));
    assert!(options(&["-tls1_3"]).starts_with("SIP/2.0 200 OK"));
    assert_eq!(options(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]), "");
}

#[test]
fn a_telephone_calls_over_tls_and_hears_itself() {
    let authority = Authority::new("phone");
    let (mut daemon, port) = start(TABLES, &authority, "");
    let phone = Baresip::new(&daemon.folder, &format!("sip_cafile\t{}\n", authority.path("ca.pem")));
    phone.call_and_hear_itself(&format!("sip:+14155550100@127.0.0.1:{port};transport=tls"), "42");
    let record = daemon.record();
    assert_eq!((record["sip_code"].as_u64(), record["ended_by"].as_str()), (Some(200), Some("caller")));
    assert_eq!(record["media"]["dtmf_digits"], 2, "{record}");
}

#[test]
fn a_reload_takes_a_new_certificate_and_leaves_connections_alone() {
    let authority = Authority::new("reload");
    let (mut daemon, port) = start(TABLES, &authority, "");
    let mut before = Client::new(&authority, port, &[]);
    assert!(before.ask("OPTIONS", "gw").starts_with("SIP/2.0 200 OK"));
    // A certificate that does not fit its key changes nothing and is told.
    std::fs::copy(authority.path("server.pem"), authority.path("old.pem")).expect("copied");
    std::fs::copy(authority.path("ca.pem"), authority.path("server.pem")).expect("copied");
    daemon.signal("HUP");
    daemon.wait_for("the tables were not taken over");
    let fresh = || Client::new(&authority, port, &["-verify_hostname", "new.example"]).ask("OPTIONS", "gw");
    assert_eq!(fresh(), "", "the name is not in the certificate yet");
    authority.sign("server", "DNS:new.example,IP:127.0.0.1");
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    assert!(fresh().starts_with("SIP/2.0 200 OK"));
    assert!(before.ask("OPTIONS", "gw2").starts_with("SIP/2.0 200 OK"), "the old connection lives on");
}

#[test]
fn a_client_is_known_by_the_name_in_its_certificate() {
    let authority = Authority::new("client");
    authority.sign("sbc", "DNS:sbc.acme.example");
    authority.sign("other", "DNS:sbc.other.example");
    let more = format!("client_ca = \"{}\"", authority.path("ca.pem"));
    let (mut daemon, port) = start(BY_NAME, &authority, &more);
    let with = |name: &str| {
        let (certificate, key) =
            (authority.path(&format!("{name}.pem")), authority.path(&format!("{name}.key")));
        Client::new(&authority, port, &["-cert", &certificate, "-key", &key])
    };
    let mut carrier = with("sbc");
    assert!(carrier.ask("INVITE", "+14155550100").starts_with("SIP/2.0 100"), "its trunk takes the call");
    drop(carrier);
    let record = daemon.record();
    assert_eq!(record["trunk"], "acme", "{record}");
    // Everyone else is a stranger, with a good certificate of another name too, and is told so
    // since `unknown_peers` is "reject".
    assert!(with("other").ask("INVITE", "+14155550100").starts_with("SIP/2.0 403"));
    assert!(Client::new(&authority, port, &[]).ask("INVITE", "+14155550100").starts_with("SIP/2.0 403"));
}

/// The carrier's own TLS listener, by OpenSSL, under the name in that certificate.
fn carrier(authority: &Authority, name: &str, port: u16) -> Client {
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", &port.to_string(), "-quiet"])
        .args(["-cert", &authority.path(&format!("{name}.pem"))])
        .args(["-key", &authority.path(&format!("{name}.key"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let heard = listen_to(child.stdout.take().expect("piped"));
    poll("the carrier's listener", || listens(port).then_some(()));
    Client { child, heard }
}

/// Whether something listens on a port, without connecting to it.
fn listens(port: u16) -> bool {
    let sockets =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| std::fs::read_to_string(file).unwrap_or_default());
    let listening = format!(":{port:04X} ");
    sockets.iter().flat_map(|table| table.lines()).any(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1).unwrap_or_default();
        format!("{local} ").ends_with(&listening) && fields.nth(1) == Some("0A")
    })
}

/// A call over TLS whose connection has broken, the port of its Contact, and its daemon.
fn broken(authority: &Authority) -> (Daemon, u16) {
    authority.sign("sbc", "DNS:sbc.acme.example");
    authority.sign("other", "DNS:sbc.other.example");
    let more = format!("client_ca = \"{0}\"\ncarrier_ca = \"{0}\"", authority.path("ca.pem"));
    let (daemon, port) = start(BY_NAME, authority, &more);
    let back = free_port();
    let (certificate, key) = (authority.path("sbc.pem"), authority.path("sbc.key"));
    let mut caller = Client::new(authority, port, &["-cert", &certificate, "-key", &key]);
    let answered = caller.ask_at("INVITE", "+14155550100", back);
    assert!(answered.starts_with("SIP/2.0 100"), "{answered}");
    let ok = if answered.contains("SIP/2.0 200") { answered } else { caller.until("SIP/2.0 200") };
    let ok = &ok[ok.find("SIP/2.0 200").expect("the 200")..];
    let to = ok.lines().find(|line| line.starts_with("To:")).expect("To");
    caller.say(&format!(
        "ACK sip:+14155550100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKack\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@b>;tag=1\r\n{to}\r\nCall-ID: tls-INVITE\r\nCSeq: 1 ACK\r\nContact: <sip:a@127.0.0.1:{back};transport=tls>\r\nContent-Type: application/sdp\r\nContent-Length: 84\r\n\r\nv=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
    ));
    // Its answer says that the ACK has arrived.
    caller.ask("OPTIONS", "gw");
    drop(caller);
    (daemon, back)
}

#[test]
fn a_bye_after_its_connection_broke_reaches_the_carrier_under_the_trunks_name() {
    let authority = Authority::new("broken");
    // The call outlives its connection; its BYE is sent to the Contact, whose host is an address, and
    // the certificate there holds the trunk's name.
    let (mut daemon, back) = broken(&authority);
    let mut sbc = carrier(&authority, "sbc", back);
    daemon.signal("TERM");
    let bye = sbc.until("CSeq:");
    assert!(bye.starts_with(&format!("BYE sip:a@127.0.0.1:{back};transport=tls SIP/2.0")), "{bye}");
    assert_eq!(daemon.record()["sip_code"], 200);
}

#[test]
fn a_carrier_whose_certificate_has_another_name_hears_nothing() {
    let authority = Authority::new("imposter");
    let (mut daemon, back) = broken(&authority);
    let other = carrier(&authority, "other", back);
    daemon.signal("TERM");
    daemon.wait_for("a hop cannot be reached");
    assert_eq!(daemon.wait(), Some(0));
    assert!(other.heard.try_recv().is_err(), "not a word");
}

/// A number that calls go out from, by a carrier over TLS at that port.
fn by_tls(port: u16) -> String {
    format!(
        "[[trunk]]\nname = \"carrier\"\naddress = \"sip:localhost:{port};transport=tls\"\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n"
    )
}

fn dial(daemon: &Daemon) {
    let body = r#"{"to": "+14155550188", "from": "+14155550100"}"#;
    let placed = http::request(daemon.api, "POST", "/v1/calls", "Content-Type: application/json\r\n", body);
    assert_eq!(placed.0, 202, "{}", placed.1);
}

#[test]
fn a_call_goes_out_over_tls_to_whom_the_certificate_names_and_to_nobody_else() {
    let authority = Authority::new("out");
    authority.sign("sbc", "DNS:localhost");
    authority.sign("other", "DNS:sbc.other.example");
    let more = format!("carrier_ca = \"{}\"", authority.path("ca.pem"));
    let port = free_port();
    let mut sbc = carrier(&authority, "sbc", port);
    let (daemon, own) = start(&by_tls(port), &authority, &more);
    dial(&daemon);
    let invite = sbc.until("m=audio");
    assert!(invite.starts_with(&format!("INVITE sip:+14155550188@localhost:{port}")), "{invite}");
    assert!(invite.contains(&format!("Contact: <sip:127.0.0.1:{own};transport=tls>")), "{invite}");
    assert!(invite.contains(&format!("Via: SIP/2.0/TLS 127.0.0.1:{own};")), "{invite}");

    let port = free_port();
    let other = carrier(&authority, "other", port);
    let (mut daemon, _) = start(&by_tls(port), &authority, &more);
    dial(&daemon);
    let record = daemon.record();
    assert_eq!((record["sip_code"].as_u64(), record["status"].as_str()), (Some(503), Some("failed")));
    assert!(other.heard.try_recv().is_err(), "not a word");
}

#[test]
fn over_tls_the_contact_holds_the_name_that_verifies() {
    let authority = Authority::new("named");
    authority.sign("sbc", "DNS:localhost");
    let more = format!("carrier_ca = \"{}\"", authority.path("ca.pem"));
    let port = free_port();
    let mut sbc = carrier(&authority, "sbc", port);
    authority.sign("server", "DNS:localhost,IP:127.0.0.1");
    let tls = format!(
        "external_host = \"gw.example.com\"\n[sip.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n{more}\n",
        authority.path("server.pem"),
        authority.path("server.key"),
    );
    let own = free_port();
    let daemon = Setup::new(&by_tls(port)).listener(&format!("tls:127.0.0.1:{own}")).sip(&tls).start();
    dial(&daemon);
    let invite = sbc.until("m=audio");
    assert!(invite.contains(&format!("Contact: <sip:gw.example.com:{own};transport=tls>")), "{invite}");
}
