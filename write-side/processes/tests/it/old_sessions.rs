//! Sessions that were opened before V017 moved the read models out of `public`.
//!
//! Their `search_path` is the server's, and a pool keeps them as long as the process lives. V018 ends those
//! of storefront-api and projector, which live on the read models. Those of checkout-api and worker are
//! left, because they miss nothing but the gauges of `read_model_lag.sql` until the process is replaced.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::TestDatabase;
use tokio_postgres::error::SqlState;

/// The files of statements below `directory`.
fn statements(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(statements(&path));
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            found.push(path);
        }
    }
    found
}

/// A statement that reads a table of `read_model` from the write side would be in the list of those lost.
#[tokio::test]
async fn a_session_from_before_the_read_models_moved_loses_the_gauges_of_their_lag_alone() {
    let database = TestDatabase::fresh().await;
    let client = database.client().await;
    client.batch_execute(r#"set search_path = "$user", public"#).await.unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "../operator/src", "../event-store/src", "../checkout-api/src"];
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders.iter().chain(&["../../schema/event-feed/src"]) {
        let found = statements(&own.join(folder));
        assert!(!found.is_empty(), "{folder}");
        files.extend(found);
    }
    let mut lost = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let Err(error) = client.prepare(&text).await else { continue };
        if [Some(&SqlState::UNDEFINED_TABLE), Some(&SqlState::UNDEFINED_FUNCTION)]
            .contains(&error.code())
        {
            lost.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(lost, ["read_model_lag.sql"]);
}
