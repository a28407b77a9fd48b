//! What no file may say, what each must begin with, and how long a document may be.

use std::path::Path;

/// Longest README of the whole.
pub const README_LINES_MAX: usize = 120;
/// Longest README of a part.
pub const PART_README_LINES_MAX: usize = 80;
/// Longest decision record.
pub const DECISION_LINES_MAX: usize = 40;

// Written in two halves, so that this file does not say them.
const IGNORED: &str = concat!("#[", "ignore");
const STUB: &str = concat!("todo", "!(");
const SLEEPS: [&str; 2] = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("../shared/", "design"),
    concat!("../shared/", "reference"),
];

/// What is wrong with the file at `path` (from the root, with `/` between).
pub fn faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if Path::new(path).extension().is_some_and(|ending| ending == "rs") {
        faults.extend(faults_of_code(path, text));
    }
    if let Some(limit) = lines_max(path) {
        let lines = text.lines().count();
        if limit < lines {
            faults.push(format!("{path}: {lines} lines, at most {limit}"));
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        if MACHINE_PATHS.iter().any(|words| line.contains(words)) {
            faults.push(format!("{path}:{number}: names a path of one machine"));
        }
    }
    faults
}

fn faults_of_code(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{path}: does not begin with a `//!` that says what it promises"));
    }
    let mut is_test = is_test_file(path);
    for (number, line) in (1..).zip(text.lines()) {
        is_test |= line.trim_start().starts_with("#[cfg(test)]");
        let mut fault = |what| faults.push(format!("{path}:{number}: {what}"));
        if line.contains(IGNORED) {
            fault("a test that is not run proves nothing");
        }
        if line.contains(STUB) {
            fault("a stub");
        }
        if is_test && SLEEPS.iter().any(|words| line.contains(words)) {
            fault("a test waits for a condition (`testkit::eventually`), not for a while");
        }
    }
    faults
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("load-tests/end-to-end/")
}

fn lines_max(path: &str) -> Option<usize> {
    if path == "README.md" {
        Some(README_LINES_MAX)
    } else if path.ends_with("/README.md") {
        Some(PART_README_LINES_MAX)
    } else if path.starts_with("ops/decisions/") {
        Some(DECISION_LINES_MAX)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_faulty(path: &str, text: &str) -> bool {
        !faults(path, text).is_empty()
    }

    #[test]
    fn code_begins_with_its_promise() {
        assert!(!is_faulty("a/src/lib.rs", "//! Promises.\n"));
        assert!(is_faulty("a/src/lib.rs", "use std::fmt;\n"));
        assert!(is_faulty("a/src/lib.rs", ""));
        assert!(!is_faulty("a/query.sql", "-- no Rust\n"));
    }

    #[test]
    fn stubs_and_skipped_tests_are_seen_anywhere() {
        assert!(is_faulty("a/src/lib.rs", &format!("//! P.\nfn f() {{ {STUB}) }}\n")));
        assert!(is_faulty("a/src/lib.rs", &format!("//! P.\n    {IGNORED}]\n")));
        assert!(is_faulty("a/tests/it.rs", &format!("//! P.\n{IGNORED} = \"slow\"]\n")));
    }

    #[test]
    fn sleeping_is_seen_in_tests_only() {
        for words in SLEEPS {
            let text = format!("//! P.\ntokio::{words}(pause).await;\n");
            assert!(!is_faulty("a/src/clock.rs", &text));
            assert!(is_faulty("a/tests/it/main.rs", &text));
            assert!(is_faulty("a/src/clock/tests.rs", &text));
            let within = format!("//! P.\n#[cfg(test)]\nmod tests {{\n    {words}(pause);\n}}\n");
            assert!(is_faulty("a/src/clock.rs", &within));
        }
    }

    #[test]
    fn documents_have_a_length() {
        let lines = |count: usize| "A line.\n".repeat(count);
        for (path, limit) in
            [("README.md", 120), ("ops/README.md", 80), ("ops/decisions/0001-x.md", 40)]
        {
            assert!(!is_faulty(path, &lines(limit)), "{path}");
            assert!(is_faulty(path, &lines(limit + 1)), "{path}");
        }
        assert!(!is_faulty("ARCHITECTURE.md", &lines(500)));
    }

    #[test]
    fn paths_of_one_machine_are_seen() {
        for words in MACHINE_PATHS {
            assert!(is_faulty("ops/run", &format!("cat {words}x\n")), "{words}");
        }
        assert!(!is_faulty("a/tests/it.rs", "//! Reads ../shared/data/supplements.jsonl.gz.\n"));
    }
}
