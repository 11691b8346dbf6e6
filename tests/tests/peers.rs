//! Other people's telephones and proxies: baresip with real audio and key presses, Kamailio in front
//! with Record-Route, OpenSSL against the TLS listener.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use trunkline_tests::Daemon;
use trunkline_tests::daemon::{free_port, peer_files, poll};
use trunkline_tests::peers::{Process, Sipp, call_with_media};

const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[agent]]
name = "tone"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "echo"
[[number]]
number = "+14155550101"
inbound = "tone"
"#;

/// A WAV file of a tone, 8000 Hz, mono, 16 bit.
fn wav(path: &Path, hertz: f64, seconds: u32) {
    let samples = 8000 * seconds;
    let mut bytes = Vec::from(*b"RIFF");
    bytes.extend((36 + samples * 2).to_le_bytes());
    bytes.extend(*b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    for field in [1u16, 1] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(16_000u32.to_le_bytes());
    for field in [2u16, 16] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(*b"data");
    bytes.extend((samples * 2).to_le_bytes());
    for n in 0..samples {
        let sample = 8000.0 * (std::f64::consts::TAU * hertz * f64::from(n) / 8000.0).sin();
        bytes.extend((sample as i16).to_le_bytes());
    }
    std::fs::write(path, bytes).expect("written");
}

/// The only file in `folder` whose name ends so.
fn recording(folder: &Path) -> std::path::PathBuf {
    poll("baresip's recording", || {
        let entries = std::fs::read_dir(folder).ok()?;
        entries
            .filter_map(Result::ok)
            .map(|e| e.path())
            .find(|path| path.to_string_lossy().ends_with("-dec.wav"))
    })
}

#[test]
fn baresip_hears_its_own_voice_and_its_keys_arrive() {
    let mut daemon = Daemon::start(TABLES);
    let home = daemon.folder.join("baresip");
    let source = daemon.folder.join("voice.wav");
    wav(&source, 1000.0, 30);
    let (sip, control, rtp) = (free_port(), free_port(), free_port());
    let made = Command::new("bash")
        .arg(peer_files().join("baresip/mk.sh"))
        .args([home.to_str().expect("UTF-8"), &sip.to_string(), &control.to_string()])
        .args([source.to_str().expect("UTF-8"), "", &format!("{rtp}-{}", rtp + 3)])
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    for transport in ["", ";transport=tcp"] {
        let _ = std::fs::remove_dir_all(home.join("rec"));
        std::fs::create_dir_all(home.join("rec")).expect("a folder");
        let phone = Command::new("baresip")
            .args(["-4", "-f", home.to_str().expect("UTF-8"), "-t", "20"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("baresip is installed by `cargo xtask test`");
        let _phone = Process(phone);
        let dial = format!("dial sip:+14155550100@127.0.0.1:{}{transport}", daemon.sip);
        let driven = Command::new("python3")
            .arg(peer_files().join("baresip/ctl.py"))
            .args([&control.to_string(), &dial, "wait:CALL_ESTABLISHED", "@1", "sndcode 12#", "@1.5"])
            .args(["hangup", "wait:CALL_CLOSED"])
            .output()
            .expect("python3");
        assert!(driven.status.success(), "{}", String::from_utf8_lossy(&driven.stderr));
        let record = daemon.record();
        assert_eq!(
            (record["sip_code"].as_u64(), record["media"]["dtmf_digits"].as_u64()),
            (Some(200), Some(3)),
            "{record}"
        );
        let check = Command::new("python3")
            .arg(peer_files().join("wavcheck.py"))
            .arg(recording(&home.join("rec")))
            .arg("1000")
            .output()
            .expect("python3");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

#[test]
fn calls_come_through_a_proxy_that_records_its_route() {
    let mut daemon = Daemon::start(TABLES);
    let port = free_port();
    for (hop, via) in [("udp", "u1"), ("tcp", "t1"), ("tcp", "u1")] {
        let proxy = Command::new("bash")
            .arg(peer_files().join("kamailio/run.sh"))
            .args([port.to_string(), format!("sip:127.0.0.1:{};transport={hop}", daemon.sip)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kamailio is installed by `cargo xtask test`");
        let pid = proxy.id();
        let mut proxy = Process(proxy);
        poll("kamailio", || TcpStream::connect(("127.0.0.1", port)).ok());
        let tool = "--hz 700 --secs 1.2 --expect 700 --min-pkts 40";
        let heard = call_with_media(port, "+14155550100", tool, 1500, &["-t", via]);
        assert_eq!(heard["ok"], true, "{hop} {via}: {heard}");
        assert_eq!(daemon.record()["sip_code"], 200);
        Sipp::new("uac_hold", port, "+14155550100").with(&["-t", via]).run();
        daemon.record();
        // It has children: the term signal lets it end them.
        let _ = Command::new("kill").arg(pid.to_string()).status();
        let _ = proxy.0.wait();
    }
}

#[test]
fn openssl_speaks_tls_1_2_and_1_3_and_gets_sip_answers_and_1_1_is_refused() {
    let tls = free_port();
    let folder = std::env::temp_dir().join(format!("trunkline-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            &path("key.pem"),
            "-out",
            &path("cert.pem"),
        ])
        .output();
    assert!(made.is_ok_and(|output| output.status.success()));
    let more = format!(
        "[sip.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n",
        path("cert.pem"),
        path("key.pem"),
    );
    let daemon = Daemon::start_tls(TABLES, tls, &more);
    let client = |version: &[&str]| {
        let mut child = Command::new("timeout")
            .args([
                "10",
                "openssl",
                "s_client",
                "-connect",
                &format!("127.0.0.1:{tls}"),
                "-CAfile",
                &path("cert.pem"),
            ])
            .args(["-verify_return_error", "-quiet"])
            .args(version)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let request = "OPTIONS sip:gw@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKo\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:gw@127.0.0.1>\r\nCall-ID: tls\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let mut stdin = child.stdin.take().expect("piped");
        let mut stdout = child.stdout.take().expect("piped");
        // A client that was refused has closed its side already.
        let _ = stdin.write_all(request.as_bytes());
        let mut answer = [0; 64];
        let length = stdout.read(&mut answer).unwrap_or(0);
        let _ = child.kill();
        let _ = child.wait();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    assert!(client(&["-tls1_2"]).starts_with("SIP/2.0 200 OK"));
    assert!(client(&["-tls1_3"]).starts_with("SIP/2.0 200 OK"));
    assert_eq!(client(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]), "");
    drop(daemon);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn garbage_slow_and_endless_peers_do_no_harm() {
    let mut daemon = Daemon::start(TABLES);
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.sip)).expect("connects");
        stream.write_all(b"INVITE sip:x@y SIP/2.0\r\nVia: ").expect("sent");
        slow.push(stream);
    }
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 0..5000u32 {
        let mut noise = vec![0; (n % 1400) as usize];
        for (at, byte) in noise.iter_mut().enumerate() {
            *byte = (n.wrapping_mul(2_654_435_761).wrapping_add(at as u32 * 97) >> 7) as u8;
        }
        socket.send_to(&noise, ("127.0.0.1", daemon.sip)).expect("sent");
    }
    let heard = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 1 --expect 700", 1200, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(daemon.record()["sip_code"], 200);
    // Ten seconds is what a message may take.
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the daemon closes it");
    }
}
