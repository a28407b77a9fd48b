//! What the OpenAPI documents promise: every operation has a policy, and the documents checked in
//! are the ones that are served. `BLESS=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use poem::endpoint::BoxEndpoint;
use poem::test::TestClient;
use serde_json::{Value, json};

use crate::support::{Answer, Person, TestApp, call};

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

/// The path of an operation, with something in its places.
fn filled(path: &str) -> String {
    let path = path.replace("{kind}", "one-off");
    ["{id}", "{item_id}", "{order}", "{attempt}"]
        .iter()
        .fold(path, |path, name| path.replace(name, SOME_ID))
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
            if secured {
                let call = call(client, &method.to_uppercase(), filled(path)).key("key");
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

/// A misspelt filter of a list of what waits for a person would otherwise show another list.
#[tokio::test]
async fn every_operation_refuses_a_parameter_that_it_does_not_know() {
    let app = TestApp::start().await;
    let (kim, admin) = (app.person("kim").await, app.administrator().await);
    let mut refusing = 0;
    for (client, person) in [(&app.api, &kim), (&app.admin, &admin)] {
        let document = document(client).await;
        for (path, method, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            let known: Vec<_> = parameters(operation).collect();
            let query: Vec<_> = known.iter().map(|name| format!("{name}=1")).collect();
            let query = [query, vec!["nonsense=1".to_owned()]].concat().join("&");
            let address = format!("{}?{query}", filled(path));
            let asked = |address: &str| call(client, &method.to_uppercase(), address).key("key");
            if id.starts_with("return") {
                // The gateway's own additions must not lose a payment.
                asked(&address).send().await.refused(400, "payment.return_malformed");
                continue;
            }
            if operation["security"].is_array() {
                asked(&address).send().await.refused(401, "auth.token_missing");
            }
            let refused = asked(&address).by(person).json(Value::Null).send().await;
            let refused = refused.refused(400, "request.unknown_parameter");
            let errors = refused.body["errors"].as_array().unwrap();
            let [error] = errors.as_slice() else { panic!("{id}: {errors:?}") };
            assert_eq!(error["pointer"], "nonsense", "{id}");
            let detail = error["detail"].as_str().unwrap();
            assert!(known.iter().all(|name| detail.contains(name)), "{id}: {detail}");
            refusing += 1;
        }
    }
    assert!(20 < refusing, "{refusing}");
}

fn parameters(operation: &Value) -> impl Iterator<Item = &str> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    queries.map(|parameter| parameter["name"].as_str().unwrap())
}

/// `Type "string" expects an input value` named neither the field nor the way to it.
#[tokio::test]
async fn every_operation_names_the_fields_that_a_body_lacks() {
    let app = TestApp::start().await;
    let (kim, admin) = (app.person("kim").await, app.administrator().await);
    let mut bodies = 0;
    for (client, person) in [(&app.api, &kim), (&app.admin, &admin)] {
        let document = document(client).await;
        for (path, method, operation) in operations(&document) {
            let body = &operation["requestBody"]["content"]["application/json; charset=utf-8"];
            let Some(name) = body["schema"]["$ref"].as_str() else { continue };
            let schema = document.pointer(name.strip_prefix('#').unwrap()).unwrap();
            let Some(required) = schema["required"].as_array() else { continue };
            let pointers: Vec<_> =
                required.iter().map(|name| format!("/{}", name.as_str().unwrap())).collect();
            let asked = |body: Value| {
                let call = call(client, &method.to_uppercase(), filled(path)).by(person);
                call.key("key").json(body).send()
            };
            for body in [json!({}), Value::Null] {
                assert_eq!(missing(&asked(body).await), pointers, "{method} {path}");
            }
            bodies += 1;
        }
    }
    assert_eq!(bodies, 7);
    let order = |body| place(&app, &kim, body);
    assert_eq!(
        missing(
            &order(json!({ "lines": [{ "quantity": 1 }, {}], "receiver": {
            "name": "홍길동", "phone": null, "address": { "zip": "04524" } } }))
            .await
        ),
        [
            "/lines/0/itemId",
            "/lines/1/itemId",
            "/lines/1/quantity",
            "/receiver/phone",
            "/receiver/address/city",
            "/receiver/address/detail",
        ]
    );
    // What is unreadable for another reason is told as before.
    let refused = order(json!({ "fromCart": "one-off", "receiver": 7 })).await;
    assert_eq!(refused.refused(400, "request.malformed_body").body["errors"], json!([]));
}

async fn place(app: &TestApp, person: &Person, body: Value) -> Answer {
    app.call("POST", "/api/orders").by(person).key("key").json(body).send().await
}

/// The pointers of the fields that a refusal names as missing.
fn missing(refused: &Answer) -> Vec<&str> {
    assert_eq!(refused.body["code"], "request.malformed_body", "{}", refused.body);
    let errors = refused.body["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["code"] == "field.missing"), "{errors:?}");
    errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}
