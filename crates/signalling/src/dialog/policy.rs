//! Which requests inside a dialog are taken, and what Allow says of it (RFC 3261 §20.5).

use trunkline_sip::headers::allowed_methods;
use trunkline_sip::{Headers, Method};

/// Which requests inside a dialog are taken, by configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct InDialogPolicy {
    /// INFO is answered 200 and passed up.
    pub info: bool,
    /// MESSAGE is answered 200 and passed up.
    pub message: bool,
}

/// Methods that we serve, those last that configuration may refuse.
const METHODS: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Update,
    Method::Prack,
    Method::Info,
    Method::Message,
];
const METHODS_WITHOUT_INFO: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Update,
    Method::Prack,
    Method::Message,
];

impl InDialogPolicy {
    /// Methods that we serve, for Allow.
    #[must_use]
    pub fn methods(self) -> &'static [Method] {
        match (self.info, self.message) {
            (true, true) => METHODS,
            (true, false) => &METHODS[..METHODS.len() - 1],
            (false, true) => METHODS_WITHOUT_INFO,
            (false, false) => &METHODS[..METHODS.len() - 2],
        }
    }
}

/// Whether a peer's Allow has UPDATE; without an Allow it is not tried.
pub(super) fn takes_updates(headers: &Headers) -> bool {
    allowed_methods(headers).is_some_and(|methods| methods.contains(&Method::Update))
}
