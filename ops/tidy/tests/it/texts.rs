//! The rules about what files say, over every file that is ours.

use std::fs;
use std::path::Path;

use tidy::texts::faults;

use crate::workspace::root;

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 3] = [".git", "target", ".state"];
const ENDINGS: [&str; 7] = ["rs", "md", "sql", "sh", "toml", "yml", "json"];

/// Calls `visit` with each file's path from the root and its text.
fn each_file(root: &Path, folder: &Path, visit: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !FOREIGN.contains(&name) {
                each_file(root, &path, visit);
            }
            continue;
        }
        let is_ours =
            path.extension().is_none_or(|ending| ENDINGS.iter().any(|known| ending == *known));
        if let Some(text) = is_ours.then(|| fs::read_to_string(&path).ok()).flatten() {
            visit(path.strip_prefix(root).unwrap().to_str().unwrap(), &text);
        }
    }
}

#[test]
fn every_file_keeps_to_the_rules() {
    let root = root();
    let (mut found, mut sources) = (Vec::new(), 0);
    each_file(&root, &root, &mut |path, text| {
        sources += usize::from(text.starts_with("//!"));
        found.extend(faults(path, text));
    });
    // A walk that finds nothing would find everything in order.
    assert!(50 < sources, "{sources} sources");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_documents_a_newcomer_needs_are_there() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "ops/README.md"] {
        assert!(root().join(document).is_file(), "{document} is missing");
    }
}
