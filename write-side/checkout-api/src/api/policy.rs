//! Default deny: an operation that neither asks for a token nor is declared public doesn't start.

use serde_json::Value;

/// The operations that anybody may call. Everything else must ask for an access token.
pub(super) const PUBLIC: [&str; 5] =
    ["signUp", "logIn", "returnApproved", "returnCancelled", "returnFailed"];

/// The operations that browsers come back to from the gateway: it may add parameters to the address
/// that we do not know, and a payment must not be lost over one.
pub(crate) const RETURNS: [&str; 3] = ["returnApproved", "returnCancelled", "returnFailed"];

/// The operations of an OpenAPI document that have no declared policy, by id.
pub(crate) fn undeclared(document: &Value) -> Vec<String> {
    let paths = document.get("paths").and_then(Value::as_object);
    let methods = paths.into_iter().flat_map(|paths| paths.values()).filter_map(Value::as_object);
    methods
        .flat_map(|methods| methods.values())
        .filter(|operation| !is_declared(operation))
        .map(|operation| id_of(operation).to_owned())
        .collect()
}

fn is_declared(operation: &Value) -> bool {
    let asks_for_token =
        operation.get("security").and_then(Value::as_array).is_some_and(|it| !it.is_empty());
    asks_for_token != PUBLIC.contains(&id_of(operation))
}

fn id_of(operation: &Value) -> &str {
    operation.get("operationId").and_then(Value::as_str).unwrap_or("(no operationId)")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_without_a_policy_is_named() {
        let document = json!({ "paths": { "/api/x": {
            "get": { "operationId": "logIn" },
            "put": { "operationId": "secured", "security": [{ "AccessToken": [] }] },
            "post": { "operationId": "forgotten" },
            "patch": { "operationId": "emptied", "security": [] },
        }}});
        let mut found = undeclared(&document);
        found.sort();
        assert_eq!(found, ["emptied", "forgotten"]);
    }
}
