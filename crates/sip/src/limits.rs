//! Every bound on what a peer may send in one message, and what happens at it.

/// Largest message. A UDP datagram cannot be longer; a stream that announces more is answered 513
/// and closed.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Most header fields in a message. More is answered 400: no carrier sends a third of it.
pub const MAX_HEADERS: usize = 256;

/// Longest header field once unfolded. Longer is answered 400.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// Most Via values. A message that passed so many hops is in a loop: 400.
pub const MAX_VIA: usize = 64;

/// Most parameters read of one value. Later ones are not looked at, which bounds the work for a
/// value made of separators.
pub const MAX_PARAMS: usize = 64;
