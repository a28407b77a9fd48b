//! Which crate may use which.
//!
//! The sides meet only in `schema/` and `ops/service-kit`: what decides, what builds read models and
//! what answers can be understood, tested and deployed without each other. Tests of one side may
//! use another to make the world they look at, so development dependencies are freer.

use std::fmt;

/// Why one crate needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To run, or to be built.
    Normal,
    /// To be tested.
    Development,
}

/// A crate of the workspace uses another crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The crate of ours that uses.
    pub from: Member,
    /// What it uses, by name.
    pub to: String,
    /// The used crate's folder, when it is one of ours.
    pub to_folder: Option<String>,
    /// Why.
    pub kind: Kind,
}

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its folder from the root, with `/` between.
    pub folder: String,
}

/// An edge that is not allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    edge: Edge,
    rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} uses {}: {}", self.edge.from.folder, self.edge.to, self.rule)
    }
}

/// A rule: whether an edge is allowed, and the sentence for when it is not.
type Rule = (fn(&Edge) -> bool, &'static str);

const RULES: [Rule; 10] = [
    (keeps_to_its_side, "the sides meet only in schema/ and ops/service-kit"),
    (schema_stands_alone, "schema/ uses no side, and of ops/ only service-kit"),
    (kit_stands_alone, "ops/service-kit uses no crate of ours but contracts"),
    (contracts_is_pure, "contracts holds values and events, without IO and frameworks"),
    (domain_is_pure, "domain decides, without IO, time, randomness and frameworks but cqrs-es"),
    (sqlx_is_contained, "sqlx and postgres-es belong to event-store (and the bench against them)"),
    (
        reqwest_is_contained,
        "reqwest belongs to kakaopay, checkout-api, storefront, shop, load-tests",
    ),
    (
        what_faces_people_calls_no_gateway,
        "checkout-api and operator say what is to be done; only processes calls the gateway",
    ),
    (scheduler_is_contained, "croner belongs to processes"),
    (test_crates_stay_in_tests, "testkit and kakaopay-sim are for tests, shop and load-tests"),
];

/// Everything in `edges` that is not allowed.
pub fn violations(edges: &[Edge]) -> Vec<Violation> {
    edges
        .iter()
        .flat_map(|edge| {
            RULES
                .iter()
                .filter(|(is_allowed, _)| !is_allowed(edge))
                .map(|(_, rule)| Violation { edge: edge.clone(), rule })
        })
        .collect()
}

const SIDES: [&str; 3] = ["write-side", "read-side", "projections"];

fn top(folder: &str) -> &str {
    folder.split('/').next().unwrap_or(folder)
}

impl Edge {
    fn is_normal(&self) -> bool {
        self.kind == Kind::Normal
    }

    fn is_from(&self, names: &[&str]) -> bool {
        names.contains(&self.from.name.as_str())
    }

    fn is_to(&self, names: &[&str]) -> bool {
        names.contains(&self.to.as_str())
    }

    fn starts_in(&self, folder: &str) -> bool {
        top(&self.from.folder) == folder
    }
}

fn keeps_to_its_side(edge: &Edge) -> bool {
    let side = top(&edge.from.folder);
    let Some(to) = edge.to_folder.as_deref().filter(|_| edge.is_normal() && SIDES.contains(&side))
    else {
        return true;
    };
    top(to) == side || top(to) == "schema" || to == "ops/service-kit"
}

fn schema_stands_alone(edge: &Edge) -> bool {
    let Some(to) = edge.to_folder.as_deref().filter(|_| edge.starts_in("schema")) else {
        return true;
    };
    top(to) == "schema"
        || to == "ops/service-kit"
        || (!edge.is_normal() && !SIDES.contains(&top(to)))
}

fn kit_stands_alone(edge: &Edge) -> bool {
    let is_ours = edge.to_folder.is_some();
    !edge.is_from(&["service-kit"]) || !edge.is_normal() || !is_ours || edge.is_to(&["contracts"])
}

fn contracts_is_pure(edge: &Edge) -> bool {
    const ALLOWED: [&str; 5] = ["chrono", "serde", "serde_json", "thiserror", "uuid"];
    !edge.is_from(&["contracts"]) || !edge.is_normal() || edge.is_to(&ALLOWED)
}

fn domain_is_pure(edge: &Edge) -> bool {
    // sha2 is a function: the deterministic ids and digests of decisions need one.
    const ALLOWED: [&str; 8] =
        ["chrono", "contracts", "cqrs-es", "serde", "serde_json", "sha2", "thiserror", "uuid"];
    !edge.is_from(&["domain"]) || !edge.is_normal() || edge.is_to(&ALLOWED)
}

fn sqlx_is_contained(edge: &Edge) -> bool {
    !edge.is_to(&["sqlx", "postgres-es"]) || edge.is_from(&["event-store", "bench"])
}

fn reqwest_is_contained(edge: &Edge) -> bool {
    !edge.is_to(&["reqwest"])
        || edge.starts_in("load-tests")
        || edge.is_from(&["kakaopay", "checkout-api", "storefront", "shop"])
        || !edge.is_normal()
}

fn what_faces_people_calls_no_gateway(edge: &Edge) -> bool {
    !edge.is_from(&["checkout-api", "operator"])
        || !edge.is_normal()
        || !edge.is_to(&["kakaopay", "processes"])
}

fn scheduler_is_contained(edge: &Edge) -> bool {
    !edge.is_to(&["croner"]) || edge.is_from(&["processes"])
}

fn test_crates_stay_in_tests(edge: &Edge) -> bool {
    !edge.is_to(&["testkit", "kakaopay-sim"])
        || !edge.is_normal()
        || edge.is_from(&["shop"])
        || edge.starts_in("load-tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, kind: Kind) -> Edge {
        let name = |folder: &str| folder.rsplit('/').next().unwrap().to_owned();
        let is_ours = to.contains('/') || to == "projections";
        Edge {
            from: Member { name: name(from), folder: from.to_owned() },
            to: name(to),
            to_folder: is_ours.then(|| to.to_owned()),
            kind,
        }
    }

    fn normal(from: &str, to: &str) -> Vec<Violation> {
        violations(&[edge(from, to, Kind::Normal)])
    }

    #[test]
    fn every_made_up_violation_is_seen() {
        for (from, to) in [
            ("write-side/domain", "read-side/storefront-api"),
            ("write-side/checkout-api", "projections"),
            ("write-side/processes", "projections"),
            ("write-side/processes", "ops/shop"),
            ("read-side/storefront-api", "write-side/domain"),
            ("read-side/storefront-api", "projections"),
            ("read-side/storefront-api", "reqwest"),
            ("projections", "write-side/event-store"),
            ("projections", "read-side/storefront-api"),
            ("projections", "croner"),
            ("schema/event-feed", "write-side/event-store"),
            ("schema/migrator", "projections"),
            ("ops/service-kit", "schema/migrator"),
            ("ops/service-kit", "sqlx"),
            ("schema/contracts", "tokio"),
            ("schema/contracts", "cqrs-es"),
            ("write-side/domain", "tokio"),
            ("write-side/domain", "rand"),
            ("write-side/domain", "ops/service-kit"),
            ("write-side/processes", "sqlx"),
            ("write-side/checkout-api", "postgres-es"),
            ("write-side/processes", "reqwest"),
            ("write-side/checkout-api", "write-side/processes"),
            ("write-side/checkout-api", "write-side/kakaopay"),
            ("write-side/operator", "write-side/kakaopay"),
            ("write-side/checkout-api", "ops/testkit"),
            ("write-side/processes", "load-tests/kakaopay-sim"),
            ("schema/event-feed", "ops/testkit"),
        ] {
            assert!(!normal(from, to).is_empty(), "{from} uses {to} and nobody objects");
        }
    }

    #[test]
    fn what_the_architecture_draws_is_allowed() {
        for (from, to) in [
            ("write-side/checkout-api", "write-side/domain"),
            ("write-side/checkout-api", "schema/contracts"),
            ("write-side/checkout-api", "ops/service-kit"),
            ("write-side/checkout-api", "reqwest"),
            ("write-side/event-store", "sqlx"),
            ("write-side/event-store", "postgres-es"),
            ("write-side/processes", "croner"),
            ("write-side/processes", "write-side/operator"),
            ("write-side/checkout-api", "write-side/operator"),
            ("write-side/domain", "cqrs-es"),
            ("projections", "schema/event-feed"),
            ("read-side/storefront-api", "schema/contracts"),
            ("schema/migrator", "ops/service-kit"),
            ("ops/service-kit", "schema/contracts"),
            ("ops/shop", "read-side/storefront-api"),
            ("ops/shop", "ops/testkit"),
            ("ops/shop", "reqwest"),
            ("load-tests/bench", "sqlx"),
            ("load-tests/end-to-end", "ops/shop"),
        ] {
            assert_eq!(normal(from, to), [], "{from} may use {to}");
        }
    }

    #[test]
    fn tests_may_use_another_side_and_the_test_crates_but_not_contained_ones() {
        let development = |from, to| violations(&[edge(from, to, Kind::Development)]);
        assert_eq!(development("projections", "write-side/event-store"), []);
        assert_eq!(development("schema/event-feed", "ops/testkit"), []);
        assert_eq!(development("write-side/domain", "tokio"), []);
        assert!(!development("schema/event-feed", "write-side/event-store").is_empty());
        assert!(!development("projections", "sqlx").is_empty());
    }

    #[test]
    fn a_violation_says_who_uses_what_and_why_not() {
        let violations = normal("projections", "sqlx");
        assert_eq!(
            violations[0].to_string(),
            "projections uses sqlx: sqlx and postgres-es belong to event-store (and the bench \
             against them)"
        );
    }
}
