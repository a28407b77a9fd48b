//! What the OpenAPI documents promise: every operation has a policy, and the documents checked in
//! are the ones that are served. `BLESS=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use poem::endpoint::BoxEndpoint;
use poem::test::TestClient;
use serde_json::Value;

use crate::support::{TestApp, call};

/// What anybody may call. An operation that is added here is reviewed as a hole in the fence.
const PUBLIC: [&str; 5] = ["signUp", "logIn", "returnApproved", "returnCancelled", "returnFailed"];

/// An id of nothing.
const SOME_ID: &str = "0198c7a1-5b7e-7c3e-9d55-9f0c6d1b2a3c";

async fn document(client: &TestClient<BoxEndpoint<'static>>) -> Value {
    call(client, "GET", "/openapi.json").send().await.with(200).body
}

/// Every operation as (path, method, operation).
pub(crate) fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[tokio::test]
async fn every_operation_asks_for_a_token_or_is_public_on_purpose() {
    let app = TestApp::start().await;
    let mut ids = BTreeSet::new();
    for (client, public) in [(&app.api, &PUBLIC[..]), (&app.admin, &[])] {
        let document = document(client).await;
        for (path, method, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["summary"].as_str().is_some_and(|it| !it.is_empty()), "{id}");
            let secured = operation["security"].as_array().is_some_and(|it| !it.is_empty());
            assert_eq!(secured, !public.contains(&id), "{id}");
            // And it is enforced, not only said: without a token nothing runs.
            let path = path.replace("{kind}", "one-off");
            let path = ["{id}", "{item_id}", "{order}", "{attempt}"]
                .iter()
                .fold(path, |path, name| path.replace(name, SOME_ID));
            if secured {
                let call = call(client, &method.to_uppercase(), path).key("key");
                call.json(Value::Null).send().await.refused(401, "auth.token_missing");
            }
        }
    }
    assert!(PUBLIC.iter().all(|id| ids.contains(*id)));
}

#[tokio::test]
async fn the_documents_checked_in_are_the_ones_served() {
    let app = TestApp::start().await;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schema/openapi");
    let bless = service_kit::config::environment()("BLESS").is_some();
    for (client, name) in [(&app.api, "checkout-api.json"), (&app.admin, "checkout-admin.json")] {
        let served = format!("{:#}\n", document(client).await);
        let file = folder.join(name);
        if bless {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &served).unwrap();
        }
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert!(checked_in == served, "{name} differs; BLESS=1 writes it anew");
        call(client, "GET", "/docs").send().await.with(200);
    }
}
