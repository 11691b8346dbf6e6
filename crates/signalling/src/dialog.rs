//! Dialogs (RFC 3261 §12) and the INVITE that lives in them.
//!
//! [`Dialog`] holds what both sides must agree on: identifiers, sequence numbers, route set, remote
//! target. [`Leg`] is the machine round it: one SIP dialog of a call from INVITE to BYE, with its
//! parts in files of their own (`uas`, `uac`, `early`, `info`, `late`, `leaving`, `offers`, `refer`, `reliable`, `reoffer`, `replaced`, `session_timer`).

mod account;
mod early;
mod info;
mod late;
mod leaving;
mod leg;
mod offers;
mod policy;
mod refer;
mod reliable;
mod reoffer;
mod replaced;
mod session_timer;
mod state;
mod uac;
mod uas;
mod unacked;

pub use account::{Account, Answering};
pub use info::Info;
pub use late::LateAnswers;
pub use leg::{Answered, Cx, Ended, Leg, LegEvent, OfferIn};
pub use policy::InDialogPolicy;
pub use refer::{ReferIn, Referral, Referred};
pub use replaced::Standing;
pub use state::{Dialog, LocalAddress, MAX_FORWARDS};
pub use uac::Placing;
pub use uas::{Draft, LegTerms};

#[cfg(test)]
mod tests;
