//! Signing up.

use std::sync::Arc;

use contracts::{DisplayName, Email, Phone};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use service_kit::http::ClientAddress;
use service_kit::problem::Problem;
use service_kit::tokens::Role;
use uuid::Uuid;

use super::Tag;
use crate::accounts::{NewUser, Password, SignedUp};
use crate::http::Fields;
use crate::shop::Shop;

/// Accounts.
pub(crate) struct UsersApi(pub(crate) Arc<Shop>);

/// Somebody who wants an account.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields, example)]
struct SignUpRequest {
    /// The address to log in with; one account each.
    email: String,
    /// 8 to 64 characters with a letter, a digit and one of `!@#$%^+=-`.
    password: String,
    /// The name other shoppers see, 2 to 20 characters; one account each.
    display_name: String,
    /// A Korean mobile number, with or without hyphens; one account each.
    phone: Option<String>,
}

impl Example for SignUpRequest {
    fn example() -> Self {
        Self {
            email: "kim@example.com".to_owned(),
            password: "correct-horse-1!".to_owned(),
            display_name: "건강한 김씨".to_owned(),
            phone: Some("010-1234-5678".to_owned()),
        }
    }
}

/// An account.
#[derive(Object)]
#[oai(rename_all = "camelCase")]
struct SignedUpBody {
    /// Who, for all time.
    user_id: Uuid,
}

#[derive(ApiResponse)]
enum SignUpAnswer {
    /// The account is there; log in next.
    #[oai(status = 201)]
    SignedUp(
        Json<SignedUpBody>,
        /// The position of this write in the log.
        #[oai(header = "Event-Position")]
        Option<String>,
    ),
}

#[OpenApi(tag = "Tag::Accounts")]
impl UsersApi {
    /// Sign up.
    ///
    /// Taken e-mail addresses, display names and phone numbers are 409 with the code
    /// `user.email_taken`, `user.display_name_taken` or `user.phone_taken`.
    #[oai(path = "/api/users", method = "post", operation_id = "signUp")]
    async fn sign_up(
        &self,
        address: ClientAddress,
        body: Json<SignUpRequest>,
    ) -> Result<SignUpAnswer, Problem> {
        let person = new_user(&body.0)?;
        let SignedUp { user_id, position } = self.0.accounts.sign_up(person, address.0).await?;
        Ok(SignUpAnswer::SignedUp(
            Json(SignedUpBody { user_id: user_id.uuid() }),
            position.map(contracts::Position::token),
        ))
    }
}

fn new_user(raw: &SignUpRequest) -> Result<NewUser, Problem> {
    let mut fields = Fields::default();
    let email = fields.take("/email", "email.malformed", Email::parse(&raw.email));
    let password = fields.take("/password", "password.weak", Password::parse(&raw.password));
    let display_name = fields.take(
        "/displayName",
        "display_name.malformed",
        DisplayName::parse(&raw.display_name),
    );
    let phone = match raw.phone.as_deref() {
        None => Some(None),
        Some(phone) => fields.take("/phone", "phone.malformed", Phone::parse(phone)).map(Some),
    };
    let (Some(email), Some(password), Some(display_name), Some(phone)) =
        (email, password, display_name, phone)
    else {
        return Err(fields.problem());
    };
    Ok(NewUser { email, password, display_name, phone, role: Role::User })
}
