//! The OpenAPI document is a contract: what is served is what is checked in.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::app::TestApp;

#[tokio::test]
async fn the_document_is_the_one_that_is_checked_in() {
    let app = TestApp::start().await;
    let served = app.get("/openapi.json").await.json();
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/openapi/storefront-api.json");
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, serde_json::to_string_pretty(&served).unwrap() + "\n").unwrap();
        return;
    }
    let stored: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(stored == served, "the API changed; BLESS=1 rewrites schema/openapi, then review it");
}

#[tokio::test]
async fn every_operation_has_an_id_a_summary_and_its_statuses() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(7 <= paths.len());
    for (path, methods) in paths {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{path}"));
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{id}");
            for status in ["200", "304", "400", "404", "503"] {
                assert!(operation["responses"].get(status).is_some(), "{id} {status}");
            }
        }
    }
    let page = app.get("/docs").await;
    assert!(page.status.is_success() && page.header("content-type").starts_with("text/html"));
}
