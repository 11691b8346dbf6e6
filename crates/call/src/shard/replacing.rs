//! INVITE with Replaces (RFC 3891): another leg wants the place of one of a call's.
//!
//! ```text
//! INVITE ─▶ two Replaces, or one that cannot be read ──────────────────── 400
//!           no leg by those names, or one that rings with us ──────────── 481
//!           a peer of another trunk, or the trunk has no accept_refer ─── 403
//!           a leg that is over ────────────────────────────────────────── 603
//!           one that is up, where only an early one is wanted ─────────── 486
//!           its call cannot let it go for now ─────────────────────────── 491, 503
//!           else ─▶ its transaction opens, and the call takes it (`call/replaced.rs`)
//! ```
//! Refusals leave no state: their ACKs go by a Call-ID of which this shard knows nothing.

use std::sync::Arc;

use trunkline_routing::{Caller, InboundCall, Trunk, decide_replaces};
use trunkline_signalling::dialog::{Cx, Leg};
use trunkline_signalling::{Now, ServerId};
use trunkline_sip::headers::Replaces;
use trunkline_sip::{Flow, HeaderName, Method, Request, check, text};

use super::aliases::Alias;
use super::requests::Refusal;
use super::{LegOf, Shard};

/// Whether a request wants the place of a leg.
pub(super) fn wants_place(request: &Request) -> bool {
    request.method == Method::Invite
        && request.to().is_some_and(|to| to.tag().is_none())
        && request.headers.first(&HeaderName::Replaces).is_some()
}

/// The only Replaces of a request.
fn only(request: &Request) -> Option<Replaces> {
    let mut all = request.headers.all(&HeaderName::Replaces);
    let (Some(_), None) = (all.next(), all.next()) else { return None };
    let value = request.headers.text(&HeaderName::Replaces)?;
    if text::find_outside(&value, b',').is_some() {
        return None;
    }
    Replaces::parse(&value)
}

impl Shard {
    /// Refuses an INVITE that wants a place and cannot have it; false where it can.
    pub(super) fn refuses_place(&mut self, request: &Request, flow: Flow) -> bool {
        if let Err(rejection) = check::capabilities(request, &self.capabilities()) {
            let response = rejection.response(request, "stateless");
            self.transactions.send_stateless(request, flow, &response);
            return true;
        }
        let Err(refusal) = self.place_wanted(request, flow) else { return false };
        self.refuse_stateless(request, flow, refusal.code, None);
        self.tell_refusal(request, flow, refusal);
        true
    }

    /// The leg whose place an INVITE wants and may have, and its trunk.
    fn place_wanted(&self, request: &Request, flow: Flow) -> Result<(LegOf, Arc<Trunk>), Refusal> {
        let replaces =
            only(request).ok_or_else(|| Refusal::of(400, "Replaces is not one, or cannot be read"))?;
        let key = self.dialog_key(replaces.call_id.as_bytes(), &replaces.to_tag);
        let Some(of) = self.dialogs.get(&key).copied() else {
            return Err(match self.departed.has(key, &replaces.from_tag) {
                true => Refusal::of(603, "Replaces names a leg that is over"),
                false => Refusal::of(481, "Replaces names no dialog of ours"),
            });
        };
        let unknown = || Refusal::of(481, "Replaces names no dialog of ours");
        let call = &self.calls.get(&of.0).ok_or_else(unknown)?.call;
        let (standing, trunk) = call.named_by(of.1, &replaces).ok_or_else(unknown)?;
        let asks = InboundCall {
            source: flow.remote.ip(),
            names: self.names.as_deref().unwrap_or_default(),
            proved: self.proved.as_deref(),
            request,
        };
        let trunk = decide_replaces(&self.table, &asks, trunk).map_err(|reason| Refusal::of(403, reason))?;
        let on_trunk =
            |(code, reason)| Refusal { trunk: Some(trunk.name.clone()), ..Refusal::of(code, reason) };
        call.lets_go(of.1, standing, replaces.early_only).map_err(on_trunk)?;
        if !self.aliases.has_room() {
            return Err(on_trunk((503, "as many legs came by Replaces as there may be")));
        }
        Ok((of, trunk))
    }

    /// An INVITE that wants a place: the call takes it.
    pub(super) fn replace(&mut self, tx: ServerId, request: Request, flow: Flow, now: Now) {
        let ((handle, old), trunk) = match self.place_wanted(&request, flow) {
            Ok(wanted) => wanted,
            Err(refusal) => return self.refuse(tx, &request, flow, refusal, now),
        };
        let terms = self.terms(&trunk, flow);
        let alias = request.call_id().filter(|call_id| !self.config.spread.is_of(call_id, self.index()));
        let alias = alias.map(|call_id| Alias {
            call_id: call_id.clone(),
            tag: request.from().and_then(|from| from.tag()).unwrap_or_default().to_owned(),
        });
        let (caller, _) = Caller::of(&request, &trunk);
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        if let Some(name) = &terms.peer_name {
            cx.transactions.name_peer(tx, name);
        }
        let Some(leg) = Leg::incoming(&mut cx, tx, request.clone(), terms) else { return };
        let mut member = None;
        self.with_call(handle, now, |call, cx, out| member = call.replaced_by(cx, leg, old, &caller, out));
        let until = now.mono + self.config.timers.transaction_timeout();
        let held =
            self.calls.get_mut(&handle).zip(member).filter(|(held, member)| held.call.has_leg(*member));
        match (held, alias) {
            (Some((held, member)), alias) => {
                self.servers.insert(tx, (handle, member));
                held.replacing.push(tx);
                if let Some(alias) = alias {
                    held.aliases.push((member, alias.clone()));
                    self.aliases.claim(alias);
                }
            }
            // It has its answer already: what is left of it is the ACK.
            (None, Some(alias)) => {
                self.aliases.claim(alias.clone());
                self.aliases.release(alias, until);
            }
            (None, None) => {}
        }
        if member.is_none() {
            self.answer(tx, &request, 500, now);
        }
    }
}
