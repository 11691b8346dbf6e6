//! Dialogs (RFC 3261 §12) and the INVITE that lives in them.
//!
//! [`Dialog`] holds what both sides must agree on: identifiers, sequence numbers, route set, remote
//! target. [`Leg`] is the machine round it: one SIP dialog of a call from INVITE to BYE, with its
//! parts in files of their own (`uas`, `uac`, `offers`, `reliable`, `session_timer`).

mod leg;
mod offers;
mod reliable;
mod session_timer;
mod state;
mod uac;
mod uas;
mod unacked;

pub use leg::{Answered, Cx, Ended, InDialogPolicy, Leg, LegEvent, METHODS, OfferIn};
pub use state::{Dialog, LocalAddress};
