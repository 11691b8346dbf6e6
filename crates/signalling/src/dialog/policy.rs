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
    /// REFER is passed up, to be answered; and INVITEs may take over the dialog (Replaces).
    pub refer: bool,
}

/// Methods that we serve whatever configuration says.
const ALWAYS: usize = 8;
/// In three orders, so that each choice of the last three is a beginning of one.
const REFER_INFO_MESSAGE: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Update,
    Method::Prack,
    Method::Notify,
    Method::Refer,
    Method::Info,
    Method::Message,
];
const INFO_MESSAGE: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Update,
    Method::Prack,
    Method::Notify,
    Method::Info,
    Method::Message,
];
const MESSAGE_REFER: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Update,
    Method::Prack,
    Method::Notify,
    Method::Message,
    Method::Refer,
];

impl InDialogPolicy {
    /// Extensions that we serve, for Supported (RFC 3891 §6.1 for the last).
    #[must_use]
    pub const fn extensions(self) -> &'static str {
        if self.refer { "100rel, timer, replaces" } else { "100rel, timer" }
    }

    /// Methods that we serve, for Allow.
    #[must_use]
    pub fn methods(self) -> &'static [Method] {
        let (list, more) = match (self.refer, self.info, self.message) {
            (false, false, false) => (INFO_MESSAGE, 0),
            (false, true, false) => (INFO_MESSAGE, 1),
            (false, true, true) => (INFO_MESSAGE, 2),
            (false, false, true) => (MESSAGE_REFER, 1),
            (true, false, true) => (MESSAGE_REFER, 2),
            (true, false, false) => (REFER_INFO_MESSAGE, 1),
            (true, true, false) => (REFER_INFO_MESSAGE, 2),
            (true, true, true) => (REFER_INFO_MESSAGE, 3),
        };
        &list[..ALWAYS + more]
    }
}

/// Whether a peer's Allow has UPDATE; without an Allow it is not tried.
pub(super) fn takes_updates(headers: &Headers) -> bool {
    allowed_methods(headers).is_some_and(|methods| methods.contains(&Method::Update))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_of_methods_is_served_and_no_other() {
        for choice in 0..8 {
            let (info, message, refer) = (choice & 1 != 0, choice & 2 != 0, choice & 4 != 0);
            let methods = InDialogPolicy { info, message, refer }.methods();
            for (method, wanted) in [
                (Method::Info, info),
                (Method::Message, message),
                (Method::Refer, refer),
                (Method::Notify, true),
            ] {
                assert_eq!(methods.contains(&method), wanted, "{choice} {method}");
            }
        }
    }
}
