//! Session timers (RFC 4028): asked for or imposed by the peer, refreshed by whoever was chosen.
//!
//! ```text
//!                 half the interval, where we refresh
//! agreed ─▶ running ──────────────────────────────────▶ refreshing ── 2xx ─▶ running, from now
//!            │ │  ▲ the peer's refresh: from now         │ 422: at once with its Min-SE, the first time
//!            │ └──┘                                      │ 408, 481: the peer has no dialog any more, BYE
//!            │   ▲          any other refusal, 491 too   │
//!            │   └── running, to refresh at `retry` ◀────┘
//!            └── the interval less min(32 s, a third) is over, refreshing or not ─▶ expired: BYE
//! ```

use std::time::Duration;

use trunkline_sip::headers::{Refresher, SessionExpires, parse_delta};
use trunkline_sip::{HeaderName, Headers, Response};

use crate::time::Mono;

/// The shortest interval that we take (RFC 4028 §4).
pub(super) const MIN_SE: u32 = 90;

/// A running session timer.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionTimer {
    pub(super) interval: u32,
    /// Whether we refresh.
    pub(super) ours: bool,
    started: Mono,
    /// When a refresh that was refused is tried again.
    pub(super) retry: Option<Mono>,
    /// A 422 has raised the interval; a second one is not followed.
    pub(super) raised: bool,
}

/// What a due session timer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Refresh,
    Expired,
}

impl SessionTimer {
    pub(super) const fn new(interval: u32, ours: bool, now: Mono) -> Self {
        Self { interval, ours, started: now, retry: None, raised: false }
    }

    /// The timer that a request asks us for: `Err` with Min-SE where it is too short (422).
    pub(super) fn of_request(headers: &Headers, now: Mono) -> Result<Option<Self>, u32> {
        let Some(wanted) = expires(headers) else {
            return Ok(None);
        };
        let supported = headers.lists(&HeaderName::Supported, "timer");
        if wanted.seconds < MIN_SE {
            // A peer that does not know the extension had this header put in by a proxy, and could
            // not understand 422 (RFC 4028 §9).
            return if supported { Err(MIN_SE) } else { Ok(Some(Self::new(MIN_SE, true, now))) };
        }
        // A peer without the extension cannot refresh, whatever a proxy wrote for it.
        let ours = !supported || wanted.refresher == Some(Refresher::Uas);
        Ok(Some(Self::new(wanted.seconds, ours, now)))
    }

    /// The timer that a 2xx to a request of ours imposes.
    pub(super) fn of_response(headers: &Headers, now: Mono) -> Option<Self> {
        let imposed = expires(headers)?;
        let ours = imposed.refresher != Some(Refresher::Uas);
        Some(Self::new(imposed.seconds.max(MIN_SE), ours, now))
    }

    /// Puts the agreed timer into a 2xx of ours.
    pub(super) fn announce(&self, response: &mut Response) {
        let refresher = if self.ours { Refresher::Uas } else { Refresher::Uac };
        let value = SessionExpires { seconds: self.interval, refresher: Some(refresher) };
        response.headers.push(HeaderName::SessionExpires, value.to_string());
        if !self.ours {
            response.headers.push(HeaderName::Require, "timer");
        }
    }

    /// A refresh went through.
    pub(super) const fn restart(&mut self, now: Mono) {
        self.started = now;
        self.retry = None;
        self.raised = false;
    }

    /// The next deadline; while a refresh is under way only the end.
    pub(super) fn deadline(&self, refreshing: bool) -> Mono {
        let end = self.started + self.grace();
        if !self.ours || refreshing {
            return end;
        }
        let half = self.started + Duration::from_secs(u64::from(self.interval) / 2);
        self.retry.unwrap_or(half).min(end)
    }

    pub(super) fn timeout(&self, now: Mono, refreshing: bool) -> Due {
        if self.started + self.grace() <= now {
            Due::Expired
        } else if self.deadline(refreshing) <= now {
            Due::Refresh
        } else {
            Due::Nothing
        }
    }

    /// When the BYE is due: the smaller of 32 s and a third of the interval before it ends
    /// (RFC 4028 §10).
    fn grace(&self) -> Duration {
        Duration::from_secs(u64::from(self.interval - (self.interval / 3).min(32)))
    }
}

fn expires(headers: &Headers) -> Option<SessionExpires> {
    SessionExpires::parse(&headers.text(&HeaderName::SessionExpires)?)
}

/// Min-SE of a 422.
pub(super) fn min_se(headers: &Headers) -> u32 {
    headers.text(&HeaderName::MinSe).and_then(|text| parse_delta(&text)).unwrap_or(MIN_SE)
}
