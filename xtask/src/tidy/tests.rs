use super::*;

fn file(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    check_file(name, text, &mut findings);
    findings
}

/// A function of so many lines, the brace at its end among them.
fn function(head: &str, lines: usize) -> String {
    let indent = " ".repeat(head.len() - head.trim_start().len());
    format!("{head} {{\n{}{indent}}}\n", format!("{indent}    let _ = 1;\n").repeat(lines - 2))
}

#[test]
fn a_module_says_what_its_part_is() {
    assert_eq!(file("crates/a/src/b.rs", "//! B.\n"), [""; 0]);
    assert!(file("crates/a/src/b.rs", "use std;\n")[0].contains("opens with //!"));
    assert_eq!(file("crates/a/src/b/tests.rs", "use super::*;\n"), [""; 0], "tests are told by their names");
}

#[test]
fn a_file_has_four_hundred_lines_without_its_tests() {
    let text = |lines: usize| format!("//! B.\n{}", "use x;\n".repeat(lines - 1));
    let name = "crates/a/src/b.rs";
    assert_eq!(file(name, &text(400)), [""; 0]);
    assert_eq!(file(name, &text(401)), ["crates/a/src/b.rs: 401 lines, more than 400"]);
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", text(400), "    use x;\n".repeat(300));
    assert_eq!(file(name, &tests), [""; 0]);
    assert_eq!(file("crates/a/src/b/tests.rs", &text(900)), [""; 0]);
}

#[test]
fn a_function_has_seventy_lines_from_its_first_to_its_brace() {
    for head in [
        "fn a()",
        "pub(crate) async fn a(b: u8) -> u8",
        "    pub(super) const fn a()",
        "pub(in crate::b) fn a()",
    ] {
        let text = |lines| format!("//! B.\n{}fn last() {{}}\n", function(head, lines));
        assert_eq!(file("a.rs", &text(70)), [""; 0], "{head}");
        assert_eq!(file("a.rs", &text(71)), ["a.rs:2: a function of 71 lines, more than 70"], "{head}");
    }
}

#[test]
fn what_has_no_body_is_no_function() {
    let text =
        format!("//! B.\ntrait A {{\n    fn a(\n        &self,\n    );\n}}\n{}", "use x;\n".repeat(90));
    assert_eq!(file("a.rs", &text), [""; 0]);
    let text = format!("//! B.\n// The fn of a comment.\n{}", "use x;\n".repeat(90));
    assert_eq!(file("a.rs", &text), [""; 0]);
}

#[test]
fn a_table_names_tests_that_there_are() {
    let mut findings = Vec::new();
    let readme = "`no_table_no_name`\n| a | `a_call_is_made`, `cargo xtask ci`, `max_calls` |\n| b | `a_call_is_gone` |\n";
    check_tables(readme, "#[test]\nfn a_call_is_made() {}\n", &mut findings);
    assert_eq!(findings, ["tests/README.md: there is no test a_call_is_gone"]);
}

#[test]
fn dependencies_are_found_in_every_table() {
    let manifest = r#"
[dependencies]
one = { workspace = true }
two.workspace = true
renamed = { package = "three", version = "1" }
[dependencies.four]
version = "1"
[build-dependencies]
five = "1"
[target.'cfg(unix)'.dependencies]
six = "1"
[target.'cfg(windows)'.build-dependencies.seven]
version = "1"
[dev-dependencies]
eight = "1"
[features]
nine = []
"#;
    let found: Vec<String> = dependencies(manifest).expect("TOML").into_iter().collect();
    assert_eq!(found, ["five", "four", "one", "seven", "six", "three", "two"]);
    dependencies("[dependencies").expect_err("a broken manifest is no empty one");
}

#[test]
fn crates_use_what_they_may() {
    let check = |name: &str, used: &[&str]| {
        let mut findings = Vec::new();
        check_dependencies(name, &used.iter().map(|&used| used.to_owned()).collect(), &mut findings);
        findings
    };
    assert_eq!(check("call", &["trunkline-sip", "thiserror"]), [""; 0]);
    assert_eq!(check("call", &["tokio"]), ["crates/call is pure and may not use tokio"]);
    assert_eq!(check("sip", &["trunkline-call"]), ["crates/sip may not use crates/call"]);
    assert_eq!(check("transport", &["tokio"]), [""; 0], "an edge");
    assert!(check("new", &[])[0].contains("say in xtask/src/tidy.rs"));
}
