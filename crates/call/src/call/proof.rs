//! What the party transferred to is asked for before it is joined with the caller: a key, so that no machine
//! takes the call, or a passcode.
//!
//! ```text
//! Key:   prompt ── any key ─▶ there          10 s without one: the prompt again, three times, then given up
//! Code:  prompt ── digits, # or its length ─▶ right: there
//!                                          └▶ wrong: told so, three times, then given up
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_sdp::Member;
use trunkline_sdp::control::Transfer;
use trunkline_sdp::media::Sound;
use trunkline_signalling::dialog::Cx;

use super::Call;
use super::transfer::Stage;
use crate::Output;

/// How long a key is waited for before the prompt is played again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the prompt is played, and how often a passcode may be wrong.
const TRIES: u8 = 3;

/// What is asked for, and how it goes.
#[derive(Debug)]
pub(super) struct Proof {
    /// `None` where any key will do.
    passcode: Option<String>,
    entered: String,
    /// Prompts that nobody answered.
    unanswered: u8,
    /// Passcodes that were wrong.
    wrong: u8,
}

/// What a key press comes to.
enum Pressed {
    More,
    Right,
    Wrong,
}

impl Proof {
    /// What a transfer asks for; `None` where it asks for nothing.
    pub(super) fn of(ask: &Transfer) -> Option<Self> {
        let passcode = ask.passcode.clone();
        (passcode.is_some() || ask.requires_confirmation).then(|| Self {
            passcode,
            entered: String::new(),
            unanswered: 0,
            wrong: 0,
        })
    }

    const fn prompt(&self) -> Sound {
        match (&self.passcode, self.wrong > 0 && self.unanswered == 0) {
            (None, _) => Sound::PressAnyKey,
            (Some(_), true) => Sound::WrongPasscode,
            (Some(_), false) => Sound::EnterPasscode,
        }
    }

    fn press(&mut self, key: char) -> Pressed {
        self.unanswered = 0;
        let Some(passcode) = &self.passcode else { return Pressed::Right };
        if key != '#' {
            self.entered.push(key);
        }
        if key != '#' && self.entered.len() < passcode.len() {
            return Pressed::More;
        }
        if std::mem::take(&mut self.entered) == *passcode {
            return Pressed::Right;
        }
        self.wrong += 1;
        Pressed::Wrong
    }
}

impl Call {
    /// Plays the prompt and waits.
    pub(super) fn ask_for_proof(&mut self, cx: &Cx<'_>, out: &mut VecDeque<Output>) {
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Proving { member, proof } = &transfer.stage else { return };
        let (member, sound) = (*member, proof.prompt());
        transfer.deadline = Some(cx.now.mono + PATIENCE);
        out.push_back(Output::Play { call: self.handle, member, sound, repeat: false });
    }

    /// No key came for a while.
    pub(super) fn proof_is_missing(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Proving { proof, .. } = &mut transfer.stage else { return };
        proof.unanswered += 1;
        proof.entered.clear();
        match proof.unanswered < TRIES {
            true => self.ask_for_proof(cx, out),
            false => self.back(cx, out, None, "who was called pressed no key"),
        }
    }

    /// A leg whose keys we listen for has pressed one.
    pub(super) fn key_pressed(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        key: char,
        out: &mut VecDeque<Output>,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Proving { member: asked, proof } = &mut transfer.stage else { return };
        if *asked != member {
            return;
        }
        match proof.press(key) {
            Pressed::More => {
                transfer.deadline = Some(cx.now.mono + PATIENCE);
                out.push_back(Output::Hush(self.handle, member));
            }
            Pressed::Right => {
                out.push_back(Output::Hush(self.handle, member));
                out.push_back(Output::Listen(self.handle, member, false));
                self.target_is_there(cx, member, out);
            }
            Pressed::Wrong if proof.wrong < TRIES => self.ask_for_proof(cx, out),
            Pressed::Wrong => self.back(cx, out, None, "the passcode was wrong three times"),
        }
    }
}
