use std::path::Path;

use super::*;

/// The description that is kept beside the code is the one that is served. `TRUNKLINE_RENEW=1` writes it.
#[test]
fn the_description_in_docs_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let now = format!("{}\n", openapi::text(&routes::description()));
    if std::env::var_os("TRUNKLINE_RENEW").is_some() {
        std::fs::write(&file, &now).expect("written");
    }
    let kept = std::fs::read_to_string(&file).expect("docs/openapi.json");
    let differs = kept.lines().zip(now.lines()).find(|(kept, now)| kept != now);
    assert!(
        kept == now,
        "TRUNKLINE_RENEW=1 cargo test -p trunkline-api renews docs/openapi.json: {differs:?}"
    );
}

#[test]
fn every_operation_but_the_public_ones_names_its_scope_and_its_refusals() {
    let api = serde_json::to_value(routes::description()).expect("JSON");
    assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", api["openapi"]);
    let mut guarded = 0;
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let public = ["/healthz", "/readyz", "/v1/agents/{name}/connect"].contains(&path.as_str());
            if public || path.starts_with("/2010-04-01") {
                assert!(operation["security"].is_null(), "{method} {path}");
                continue;
            }
            guarded += 1;
            let scope = operation["security"][0]["key"][0].as_str().expect("a scope");
            let looks = method == "get";
            assert_eq!(looks, scope == "read", "{method} {path} takes {scope}");
            for status in ["401", "403", "429"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
        }
    }
    assert!(guarded > 7, "{guarded}");
}
