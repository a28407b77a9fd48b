//! The dependency rule over what `cargo metadata` says.

use std::collections::HashMap;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use tidy::dependencies::{Edge, Kind, Member, violations};

use crate::workspace::root;

fn metadata() -> Metadata {
    // Without the dependencies of dependencies: what our manifests say is what the rule is about.
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

fn folder(package: &Package) -> String {
    let folder = package.manifest_path.parent().unwrap().as_std_path().canonicalize().unwrap();
    folder.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn edges(metadata: &Metadata) -> Vec<Edge> {
    let members = metadata.workspace_packages();
    let folders: HashMap<String, String> =
        members.iter().map(|package| (package.name.to_string(), folder(package))).collect();
    let of = |package: &Package| {
        let from = Member { name: package.name.to_string(), folder: folder(package) };
        let folders = &folders;
        let edge = move |dependency: &cargo_metadata::Dependency| Edge {
            from: from.clone(),
            to: dependency.name.clone(),
            to_folder: folders.get(&dependency.name).cloned(),
            kind: if dependency.kind == DependencyKind::Development {
                Kind::Development
            } else {
                Kind::Normal
            },
        };
        package.dependencies.iter().map(edge).collect::<Vec<_>>()
    };
    members.iter().flat_map(|package| of(package)).collect()
}

#[test]
fn every_crate_keeps_to_the_dependency_rule() {
    let edges = edges(&metadata());
    // A metadata that says nothing would allow everything.
    assert!(100 < edges.len(), "{} edges", edges.len());
    let found: Vec<String> = violations(&edges).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The rule is not only about made-up graphs: an edge added to the real one is seen.
#[test]
fn a_forbidden_edge_in_the_real_graph_is_seen() {
    let mut edges = edges(&metadata());
    let storefront = edges.iter().find(|edge| edge.from.name == "storefront-api").unwrap().clone();
    let domain = edges.iter().find(|edge| edge.to == "domain").unwrap().clone();
    edges.push(Edge { from: storefront.from, kind: Kind::Normal, ..domain });
    assert_eq!(violations(&edges).len(), 1);
}

#[test]
fn crates_are_called_like_their_folders() {
    for package in metadata().workspace_packages() {
        let folder = folder(package);
        assert_eq!(package.name.as_str(), folder.rsplit('/').next().unwrap());
    }
}

#[test]
fn versions_stand_in_the_root_and_nowhere_else() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let dependencies = manifest.split_once("dependencies]").map_or("", |(_, rest)| rest);
        for line in dependencies.lines().filter(|line| line.contains('=')) {
            let is_from_root = line.contains("workspace = true");
            assert!(is_from_root, "{}: {line}", package.manifest_path);
        }
    }
}
