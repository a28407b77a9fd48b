//! Which build this is: for `--version`, `/version` and `build_info`.

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The first twelve digits of the commit, or `unknown` in a development build.
pub const COMMIT: &str = env!("PILLIVERY_COMMIT");
/// Both, as `--version` prints them: `0.1.0 (3f2a9c10b7de)`.
pub const VERSION_AND_COMMIT: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("PILLIVERY_COMMIT"), ")");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_a_hash_or_said_to_be_unknown() {
        let is_hash = COMMIT.len() == 12 && COMMIT.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash || COMMIT == "unknown", "{COMMIT}");
        assert_eq!(VERSION_AND_COMMIT, format!("{VERSION} ({COMMIT})"));
    }
}
