use super::*;

fn key(name: &str, secret: &str, scope: trunkline_routing::ApiScope) -> ApiKey {
    ApiKey { name: name.to_owned(), hash: trunkline_api::hash(secret), scope }
}

#[test]
fn keys_that_are_other_ones_replace_those_there_are_and_only_they_let_readers_go() {
    use trunkline_routing::ApiScope::{Operate, Read};
    let keys = ArcSwap::from_pointee(Keys::new(Vec::new(), true));
    let live = LiveKeys { is_local: true, keys, configured: ArcSwap::default() };
    assert!(!live.replace(Vec::new()), "none, as before");
    assert!(live.replace(vec![key("a", "one", Operate)]));
    assert!(live.keys.load().allows("one", Scope::Operate) && !live.keys.load().is_open());
    assert!(!live.replace(vec![key("a", "one", Operate)]));
    assert!(live.replace(vec![key("a", "one", Read)]), "of a lesser scope");
    assert!(!live.keys.load().allows("one", Scope::Operate));
    assert!(live.replace(vec![key("b", "two", Read)]), "revoked");
    assert!(!live.keys.load().allows("one", Scope::Read));
}
