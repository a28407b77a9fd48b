//! Gives the crate the commit that it is built from, as `PILLIVERY_COMMIT`.
//!
//! The variable of that name wins, because a build from an archive has no repository. Otherwise an
//! optimised build asks git and is made again after each commit. A development build names no commit:
//! following it would compile every crate again after each commit.

use std::path::Path;
use std::process::Command;

/// Digits of a commit's hash that are kept: unique in any repository of this size.
const COMMIT_DIGITS: usize = 12;
const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PILLIVERY_COMMIT");
    let commit = given().or_else(from_git).unwrap_or_else(|| UNKNOWN.to_owned());
    println!("cargo::rustc-env=PILLIVERY_COMMIT={commit}");
}

#[expect(clippy::disallowed_methods, reason = "a build script is configured by its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn given() -> Option<String> {
    variable("PILLIVERY_COMMIT").as_deref().and_then(hash)
}

fn from_git() -> Option<String> {
    if variable("PROFILE").as_deref() != Some("release") {
        return None;
    }
    // The reflog changes with every commit and every checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"]).as_deref().and_then(hash)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The first digits of a hash, if it is one: the text becomes a label and part of `--version`.
fn hash(text: &str) -> Option<String> {
    let is_hash = COMMIT_DIGITS <= text.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.get(..COMMIT_DIGITS).unwrap_or(text).to_owned())
}
