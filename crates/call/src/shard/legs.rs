//! The legs of calls in the shard's tables: those that come, those that are gone.

use trunkline_sdp::Member;
use trunkline_sdp::control::{Transfer, TransferResult};
use trunkline_signalling::Now;

use super::{Held, Shard};
use crate::{CallHandle, Output};

impl Shard {
    /// The dialogs of a call's legs are found by what their messages name; those of legs that are gone no
    /// more.
    pub(super) fn follow_legs(&mut self, held: &mut Held, now: Now) {
        self.let_go(held, now);
        let handle = held.call.handle();
        for (member, call_id, tag) in held.call.dialogs().skip(held.dialogs.len()) {
            let key = self.dialog_key(call_id.as_bytes(), tag);
            self.dialogs.insert(key, (handle, member));
            held.dialogs.push((member, key));
            if member != Member::FIRST {
                self.outputs.push_back(Output::LegBegan(handle, Box::new(held.call.leg_start(member))));
            }
        }
    }

    /// What may still come for legs that are gone is answered for a while.
    pub(super) fn let_go(&mut self, held: &mut Held, now: Now) {
        let until = now.mono + self.config.timers.transaction_timeout();
        for (member, placed, remains) in held.call.take_gone() {
            if placed.is_some() {
                self.outputs.push_back(Output::LegGone(held.call.handle(), placed));
            }
            let Some(at) = held.dialogs.iter().position(|(of, _)| *of == member) else { continue };
            let (_, key) = held.dialogs.remove(at);
            self.dialogs.remove(&key);
            for (_, alias) in held.aliases.extract_if(.., |(of, _)| *of == member) {
                self.aliases.release(alias, until);
            }
            if let Some(remains) = remains {
                self.departed.keep(key, remains, until);
            }
        }
    }

    /// Client transactions that the call has opened find their way back to it.
    pub(super) fn adopt_clients(&mut self, held: &mut Held) {
        let handle = held.call.handle();
        for (member, tx) in held.call.client_transactions() {
            if self.clients.insert(tx, (handle, member)).is_none() {
                held.clients.retain(|old| self.clients.contains_key(old));
                held.clients.push(tx);
            }
        }
    }

    /// A call is over.
    pub(super) fn forget(&mut self, held: &mut Held, now: Now) {
        self.unschedule(held);
        let until = now.mono + self.config.timers.transaction_timeout();
        for (member, dialog, late) in held.call.remains() {
            if let Some((_, key)) = held.dialogs.iter().find(|(of, _)| *of == member) {
                self.departed.keep(*key, (dialog, late), until);
            }
        }
        self.let_go(held, now);
        if held.call.had_others() {
            self.outputs.push_back(Output::LegGone(held.call.handle(), None));
        }
        for (_, key) in &held.dialogs {
            self.dialogs.remove(key);
        }
        for invite in held.invite.iter().chain(&held.replacing) {
            self.servers.remove(invite);
        }
        for (_, alias) in held.aliases.drain(..) {
            self.aliases.release(alias, until);
        }
        for tx in &held.clients {
            self.clients.remove(tx);
        }
    }

    /// Keys are pressed in a call, or no more of them.
    pub(super) fn press(&mut self, call: CallHandle, keys: Option<String>, now: Now) {
        self.with_call(call, now, |call, _, out| match keys {
            Some(keys) => call.press(keys, out),
            None => call.press_no_more(out),
        });
    }

    /// Decides about what peers want by REFER.
    pub(super) fn answer_refers(&mut self, now: Now) {
        while let Some((call, refer)) = self.asked.pop() {
            let table = std::sync::Arc::clone(&self.table);
            self.with_call(call, now, |call, cx, out| call.refer_asked(cx, &table, &refer, out));
        }
    }

    /// Somebody wants a caller put through.
    pub(super) fn transfer(&mut self, call: CallHandle, ask: Transfer, now: Now) {
        let table = std::sync::Arc::clone(&self.table);
        if !self.with_call(call, now, |call, cx, out| call.transfer(cx, &table, ask, out)) {
            let reason = "there is no such call".to_owned();
            let result = TransferResult { ok: false, code: None, reason };
            self.outputs.push_back(Output::TransferEnded(call, Box::new(result)));
        }
    }
}
