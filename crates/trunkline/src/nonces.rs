//! The nonces that callers have answered with the right password, for all shards: each answer counts
//! once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use trunkline_call::NonceBook;

/// Most nonces that are remembered. Only who knows a password gets one in here; at the bound, once the
/// ended ones are out, further answers are refused like replays and asked for again.
const MAX_NONCES: usize = 100_000;

/// The book.
#[derive(Default)]
pub(crate) struct Nonces(Mutex<HashMap<String, Used>>);

struct Used {
    count: u32,
    until: u64,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(..)")
    }
}

impl NonceBook for Nonces {
    fn takes(&self, nonce: &str, count: u32, until: u64, now: u64) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = used.get_mut(nonce) {
            let higher = count > known.count;
            known.count = known.count.max(count);
            return higher;
        }
        if used.len() >= MAX_NONCES {
            used.retain(|_, known| known.until >= now);
            if used.len() >= MAX_NONCES {
                return false;
            }
        }
        used.insert(nonce.to_owned(), Used { count, until });
        // The first answer counts from 1.
        count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_taken_once_and_only_upwards() {
        let book = Nonces::default();
        assert!(book.takes("a", 1, 100, 0) && !book.takes("a", 1, 100, 0));
        assert!(book.takes("a", 3, 100, 0) && !book.takes("a", 2, 100, 0));
        assert!(book.takes("b", 1, 100, 0), "another nonce counts by itself");
        assert!(!book.takes("c", 0, 100, 0));
    }

    #[test]
    fn a_full_book_lets_go_of_what_has_ended_and_nothing_else() {
        let book = Nonces::default();
        for n in 0..MAX_NONCES {
            assert!(book.takes(&n.to_string(), 1, 100, 0));
        }
        assert!(!book.takes("more", 1, 200, 100), "they may still be replayed");
        assert!(book.takes("more", 1, 200, 101));
        assert_eq!(book.0.lock().expect("no panic").len(), 1);
    }
}
