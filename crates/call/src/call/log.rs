//! Lines of the log about a call: each carries both of its ids.

use trunkline_sip::text::OneLine;

use super::Call;

impl Call {
    /// A step in the log, at the level debug; every line of a call carries both of its ids.
    pub(crate) fn step(&self, what: &str) {
        tracing::debug!(call = %self.id, sip_call_id = %OneLine(self.first.sip_call_id()), "{what}");
    }

    /// A line of the log for what an operator should look at.
    pub(crate) fn warn(&self, what: &str) {
        let sip_call_id = OneLine(self.first.sip_call_id());
        tracing::warn!(call = %self.id, %sip_call_id, "{}", OneLine(what));
    }
}
