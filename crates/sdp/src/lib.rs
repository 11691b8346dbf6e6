//! Session descriptions (RFC 8866) and their negotiation (RFC 3264).
//!
//! The line reader is ours: it keeps every m-line in its place and every attribute as written,
//! because an answer must mirror the offer line for line. `webrtc-sdp` reads the values of the
//! attributes that it knows (rtpmap, fmtp, ptime, rtcp); its own session parser drops m-lines of
//! unknown protocols and logs SRTP keys, so it never sees a whole description.
//!
//! ```text
//! text ── Description::parse ──▶ Description ── negotiate::select ──▶ Selection
//!                                        └──── negotiate::answer(selection, local) ──▶ text
//! ```

mod attributes;
mod codec;
pub mod control;
mod crypto;
mod description;
pub mod media;
pub mod negotiate;
mod room;

pub use attributes::{Direction, RtpMap};
pub use codec::{Codec, RtpFormat};
pub use crypto::{KeySeed, MasterKey, SrtpKeys, Suite};
pub use description::{Attribute, Description, Media, SdpError};
pub use negotiate::{LocalMedia, MediaEncryption, NegotiateError, Selection, Terms};
pub use room::{Hearing, Member, Members};
