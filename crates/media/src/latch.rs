//! Whom a leg listens to: the negotiated peer, or a source that proved to be it (symmetric RTP, RFC 4961;
//! the hazards are those of RFC 7362 §4).
//!
//! ```text
//!       ┌────────────── terms that move the media ───────────────┐
//!       ▼                                                        │
//!      Open ── a source that fits ──▶ Locked ── terms that move nothing ──▶ Doubted
//!                                       ▲                                    │
//!                                       └── still heard after a while, or ───┘
//!                                           silent and another fits
//! ```
//!
//! Where the peer's address is not known, one on the signalling path or the one before is believed at
//! once; a source from anywhere else only if none of those speaks for [`GRACE`]. New terms that move
//! nothing may be a mere refresh, so the source that speaks stays the peer, and may be a caller whose
//! NAT has a new port for it, so another takes over once it is silent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_sdp::media::MediaSpec;

/// How long better candidates are waited for: ten of the usual packets.
const GRACE: Duration = Duration::from_millis(200);

/// The source that is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Latch {
    /// None is proved. What was before is sent to, and since when others knock.
    Open { before: Option<SocketAddr>, knocked: Option<Instant> },
    /// This one.
    Locked(SocketAddr),
    /// This one, though it may have moved: terms came at `since`, it was last heard at `heard`.
    Doubted { source: SocketAddr, since: Instant, heard: Instant },
}

impl Default for Latch {
    fn default() -> Self {
        Self::Open { before: None, knocked: None }
    }
}

impl Latch {
    /// The source that was proved.
    pub(crate) const fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Open { .. } => None,
            Self::Locked(source) | Self::Doubted { source, .. } => Some(*source),
        }
    }

    /// Where to send, before what the terms name.
    pub(crate) const fn target(&self) -> Option<SocketAddr> {
        match self {
            Self::Open { before, .. } => *before,
            Self::Locked(source) | Self::Doubted { source, .. } => Some(*source),
        }
    }

    /// Whether nothing from there could be the peer's.
    pub(crate) fn excludes(&self, from: SocketAddr) -> bool {
        matches!(self, Self::Locked(source) if *source != from)
    }

    /// Takes new terms.
    pub(crate) fn terms(&mut self, old: Option<&MediaSpec>, new: &MediaSpec, now: Instant) {
        let moved = old.is_none_or(|old| old.remote != new.remote || old.written != new.written);
        *self = match *self {
            Self::Locked(source) | Self::Doubted { source, .. } if !moved => {
                Self::Doubted { source, since: now, heard: now }
            }
            // Until the peer speaks, the old place is sent to, unless the terms name another.
            Self::Locked(_) | Self::Doubted { .. } | Self::Open { .. } => {
                Self::Open { before: self.target().filter(|_| new.remote.is_none()), knocked: None }
            }
        };
    }

    /// Whether a packet comes from the peer; a source that proves to be it is locked.
    pub(crate) fn is_peer(&mut self, from: SocketAddr, spec: &MediaSpec, now: Instant) -> bool {
        match self {
            Self::Locked(source) => *source == from,
            Self::Doubted { source, since, heard } if *source == from => {
                *heard = now;
                if now.duration_since(*since) >= GRACE {
                    *self = Self::Locked(from);
                }
                true
            }
            Self::Doubted { source, heard, .. } => {
                let silent = now.duration_since(*heard) >= GRACE;
                let takes_over = silent && is_near(from, spec, Some(*source));
                if takes_over {
                    *self = Self::Locked(from);
                }
                takes_over
            }
            Self::Open { before, knocked } => {
                let since = *knocked.get_or_insert(now);
                let alone = spec.remote.is_none() && now.duration_since(since) >= GRACE;
                let believed = alone || is_near(from, spec, *before);
                if believed {
                    *self = Self::Locked(from);
                }
                believed
            }
        }
    }
}

/// Whether a source may be the peer: by the negotiated address, or where there is none by that of the
/// signalling or of the source before.
fn is_near(from: SocketAddr, spec: &MediaSpec, before: Option<SocketAddr>) -> bool {
    let candidates = match spec.remote {
        Some(remote) => [Some(remote.ip()), None],
        None => [spec.signalling, before.map(|before| before.ip())],
    };
    candidates.contains(&Some(from.ip()))
}

#[cfg(test)]
mod tests;
