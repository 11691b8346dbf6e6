//! RSeq and RAck, which make provisional responses reliable (RFC 3262 §7).

use super::CSeq;
use crate::text;

/// What a PRACK acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RAck {
    /// RSeq of the response.
    pub rseq: u32,
    /// CSeq of the response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads `rseq cseq method`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (rseq, cseq) = value.trim().split_once(|c: char| c.is_ascii_whitespace())?;
        Some(Self { rseq: parse_rseq(rseq)?, cseq: CSeq::parse(cseq)? })
    }
}

impl std::fmt::Display for RAck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Reads an RSeq: 1 to 2^32 - 1.
#[must_use]
pub fn parse_rseq(value: &str) -> Option<u32> {
    text::number(value.trim()).filter(|number| *number > 0)
}
