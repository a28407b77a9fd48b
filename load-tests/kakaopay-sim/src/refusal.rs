//! A "no" in KakaoPay's words.

use serde_json::{Value, json};

/// HTTP status and body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) http_status: u16,
    pub(crate) code: i64,
    pub(crate) message: String,
    /// `method_result_code` and its sentence for the shopper.
    pub(crate) extras: Option<(String, String)>,
}

impl Refusal {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { http_status: 400, code, message: message.into(), extras: None }
    }

    pub(crate) fn status(mut self, http_status: u16) -> Self {
        self.http_status = http_status;
        self
    }

    pub(crate) fn with_extras(mut self, code: &str, message: &str) -> Self {
        self.extras = Some((code.to_owned(), message.to_owned()));
        self
    }

    /// Whether the method of payment refused, after all checks of KakaoPay's own were passed.
    pub(crate) fn is_of_the_method(&self) -> bool {
        matches!(self.code, -782..=-780)
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "error_code": self.code, "error_message": self.message });
        if let Some((code, message)) = &self.extras {
            body["extras"] =
                json!({ "method_result_code": code, "method_result_message": message });
        }
        body
    }
}
