//! SRTP and wideband codecs with a telephone that others wrote.

use trunkline_tests::baresip::Baresip;
use trunkline_tests::certificates::Authority;
use trunkline_tests::daemon::free_port;
use trunkline_tests::{Daemon, Setup};

fn tables(policy: &str) -> String {
    format!(
        "[[trunk]]\nname = \"carrier\"\nallowed_addresses = [\"127.0.0.1\"]\ntransport = \"tls\"\nmedia_encryption = \"{policy}\"\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n"
    )
}

fn start(policy: &str, authority: &Authority, media: &str) -> (Daemon, u16) {
    authority.sign("server", "DNS:localhost,IP:127.0.0.1");
    let port = free_port();
    let tls = format!(
        "unknown_peers = \"reject\"\n[sip.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n",
        authority.path("server.pem"),
        authority.path("server.key"),
    );
    let setup = Setup::new(&tables(policy)).listener(&format!("tls:127.0.0.1:{port}")).sip(&tls);
    (setup.media(media).start(), port)
}

#[test]
fn a_telephone_with_srtp_hears_itself_in_both_profiles() {
    let authority = Authority::new("srtp");
    // In an encrypted profile, and with keys in a plain one (RFC 8643).
    for (policy, kind) in [("require", "srtp-mandf"), ("allow", "srtp-mand"), ("require", "srtp")] {
        let (mut daemon, port) = start(policy, &authority, "");
        let trust = format!("sip_cafile\t{}\n", authority.path("ca.pem"));
        let phone = Baresip::encrypting(kind, &daemon.folder, &trust);
        phone.call_and_hear_itself(&format!("sip:+14155550100@127.0.0.1:{port};transport=tls"), "42");
        let record = daemon.record();
        assert_eq!(record["sip_code"], 200, "{policy} {kind} {record}");
        assert_eq!(record["media"]["dtmf_digits"], 2, "{record}");
        // It opens the way with an empty packet before it has keys.
        assert!(record["media"]["unauthentic_dropped"].as_u64() <= Some(2), "{record}");
    }
}

#[test]
fn a_telephone_hears_itself_in_g722_and_opus() {
    for codec in ["G722", "opus"] {
        let text = tables("disable").replace("transport = \"tls\"\n", "");
        let mut daemon = Setup::new(&text).media("codecs = [\"opus\", \"G722\", \"PCMU\"]\n").start();
        let phone = Baresip::speaking(codec, &daemon.folder, "");
        phone.call_and_hear_itself(&format!("sip:+14155550100@127.0.0.1:{}", daemon.sip), "17*");
        let record = daemon.record();
        assert_eq!((record["codec"].as_str(), record["sip_code"].as_u64()), (Some(codec), Some(200)));
        assert_eq!(record["media"]["dtmf_digits"], 3, "{record}");
        assert!(record["media"]["jitter_ms"].as_f64().is_some_and(|jitter| jitter < 20.0), "{record}");
    }
}
