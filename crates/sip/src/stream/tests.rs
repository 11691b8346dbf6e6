use super::*;

const ONE: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 4\r\n\r\nbody";

fn frames(chunks: &[&[u8]]) -> Vec<Framed> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(frame) = framer.next_frame().expect("framing holds") {
            out.push(frame);
        }
    }
    out
}

#[test]
fn one_byte_at_a_time_and_two_in_one_segment() {
    let bytes: Vec<&[u8]> = ONE.chunks(1).collect();
    assert_eq!(frames(&bytes).len(), 1);
    assert_eq!(frames(&[&[ONE, ONE].concat()]).len(), 2);
}

#[test]
fn a_ping_is_four_bytes_and_a_pong_two() {
    assert_eq!(frames(&[b"\r\n\r\n"]), [Framed::Ping]);
    assert_eq!(frames(&[b"\r", b"\n\r", b"\n"]), [Framed::Ping]);
    let mixed = frames(&[b"\r\n", ONE, b"\r\n\r\n"]);
    assert_eq!(mixed.len(), 3);
    assert_eq!((&mixed[0], &mixed[2]), (&Framed::Pong, &Framed::Ping));
}

#[test]
fn a_pong_is_one_wherever_the_bytes_behind_it_are_cut() {
    for cut in 1..4 {
        let (mut framer, bytes) = (Framer::default(), b"\r\n\n\n");
        framer.push(&bytes[..cut]);
        let first = framer.next_frame();
        let pong = match first {
            Ok(None) => {
                framer.push(&bytes[cut..]);
                framer.next_frame()
            }
            first => first,
        };
        assert_eq!(pong, Ok(Some(Framed::Pong)), "cut at {cut}");
    }
}

#[test]
fn lost_framing_is_answered_and_ends_the_stream() {
    for length in ["", "Content-Length: -1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n"] {
        let mut framer = Framer::default();
        framer.push(format!("BYE sip:a@b SIP/2.0\r\n{length}\r\n").as_bytes());
        assert!(matches!(framer.next_frame(), Err(FrameError::Answer(_))), "{length}");
    }
}

#[test]
fn large_messages_are_refused_before_they_are_stored() {
    let mut framer = Framer::default();
    framer.push(b"BYE sip:a@b SIP/2.0\r\nContent-Length: 2147483648\r\n\r\n");
    assert!(matches!(framer.next_frame(), Err(FrameError::TooLarge(Some(_)))));
    let mut endless = Framer::default();
    endless.push(&vec![b'a'; MAX_MESSAGE_BYTES + 1]);
    assert_eq!(endless.next_frame(), Err(FrameError::TooLarge(None)));
}

#[test]
fn line_ends_without_end_are_partial_and_halves_of_a_ping_are_not() {
    let partial = |bytes: &[u8]| {
        let mut framer = Framer::default();
        framer.push(bytes);
        while let Ok(Some(_)) = framer.next_frame() {}
        framer.is_partial()
    };
    for half in ["", "\r", "\r\n", "\r\n\r", "\r\n\r\n\r\n"] {
        assert!(!partial(half.as_bytes()), "{half:?}");
    }
    for noise in ["\r\r", "\n", "\r\r\r\r\r\r", "\r\n\r\r", "I"] {
        assert!(partial(noise.as_bytes()), "{noise:?}");
    }
}
