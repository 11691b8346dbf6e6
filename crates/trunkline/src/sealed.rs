//! Secrets that stand encrypted in the tables: Fernet tokens (AES-128-CBC with HMAC-SHA256, the format of Python's
//! `cryptography`), all under the key of the environment's `FERNET_KEY`.

use fernet::Fernet;

/// Where the key is.
const KEY: &str = "FERNET_KEY";

/// What a token holds.
pub(crate) fn open(token: &str) -> Result<String, String> {
    opened(&of_environment()?, token)
}

/// A token that holds a secret.
pub(crate) fn seal(secret: &str) -> Result<String, String> {
    Ok(of_environment()?.encrypt(secret.as_bytes()))
}

/// A fresh key.
pub(crate) fn new_key() -> String {
    Fernet::generate_key()
}

fn of_environment() -> Result<Fernet, String> {
    let key = std::env::var(KEY).map_err(|_| format!("the environment has no {KEY}"))?;
    with_key(&key)
}

fn with_key(key: &str) -> Result<Fernet, String> {
    Fernet::new(key.trim()).ok_or_else(|| format!("{KEY} is no key: write 32 bytes in URL-safe base64"))
}

fn opened(fernet: &Fernet, token: &str) -> Result<String, String> {
    let plain = fernet.decrypt(token.trim());
    let plain = plain.map_err(|_| format!("it was not encrypted under this {KEY}, or was changed since"))?;
    String::from_utf8(plain).map_err(|_| "what it holds is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC_KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

    #[test]
    fn the_token_of_the_specification_is_read_and_others_are_not() {
        let fernet = with_key(SPEC_KEY).expect("a key");
        let token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(opened(&fernet, token).as_deref(), Ok("hello"));
        let changed = token.replace("LLF_", "LLFX");
        assert!(opened(&fernet, &changed).is_err_and(|why| why.contains("changed")));
        assert!(opened(&with_key(&new_key()).expect("a key"), token).is_err());
        for key in ["", "short", "not base64 at all, whatever its length may be"] {
            assert!(with_key(key).is_err_and(|why| why.contains("32 bytes")), "{key:?}");
        }
    }

    #[test]
    fn what_is_sealed_comes_back() {
        let fernet = with_key(&new_key()).expect("a key");
        for secret in ["s3cret", "", "mit Umlauten: äöü"] {
            assert_eq!(opened(&fernet, &fernet.encrypt(secret.as_bytes())).as_deref(), Ok(secret));
        }
    }
}
