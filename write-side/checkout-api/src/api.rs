//! The operations, as OpenAPI describes them. A handler translates, dispatches, translates.
//!
//! Who asks comes from the token alone. What isn't the caller's is answered like what doesn't
//! exist. Every operation asks for a token or stands on the list of public ones, else the process
//! does not start.

mod auth;
mod books;
mod carts;
mod items;
mod models;
mod orders;
mod outbox;
mod payments;
mod policy;
mod returns;
mod users;

use std::sync::Arc;

use poem_openapi::{OpenApiService, Tags};

pub(crate) use self::models::{CartName, period, quantity};
pub(crate) use self::policy::{RETURNS, undeclared};
pub(crate) use self::returns::ignore_head;
use crate::shop::Shop;

/// How operations are grouped in the documentation.
#[derive(Tags)]
enum Tag {
    /// Having an account and proving it.
    Accounts,
    /// The caller's two carts.
    Carts,
    /// Placing, cancelling and refunding orders.
    Orders,
    /// Paying, and coming back from the payment page.
    Payments,
    /// The catalogue, for administrators.
    Catalogue,
    /// What waits for a person, for administrators.
    Operating,
}

/// What shoppers call.
pub(crate) type PublicApis = (
    users::UsersApi,
    auth::AuthApi,
    carts::CartsApi,
    orders::OrdersApi,
    payments::PaymentsApi,
    returns::ReturnsApi,
);

/// The operations for shoppers.
pub(crate) fn public(shop: &Arc<Shop>) -> OpenApiService<PublicApis, ()> {
    let shop = || Arc::clone(shop);
    let apis = (
        users::UsersApi(shop()),
        auth::AuthApi(shop()),
        carts::CartsApi(shop()),
        orders::OrdersApi(shop()),
        payments::PaymentsApi(shop()),
        returns::ReturnsApi(shop()),
    );
    OpenApiService::new(apis, "Pillivery checkout", "1.0")
        .description(include_str!("api/description.md"))
}

/// What administrators call.
pub(crate) type AdminApis = (items::ItemsApi, outbox::OutboxApi, books::BooksApi);

/// The operations for administrators, on a listener of their own.
pub(crate) fn admin(shop: &Arc<Shop>) -> OpenApiService<AdminApis, ()> {
    let shop = || Arc::clone(shop);
    let apis = (items::ItemsApi(shop()), outbox::OutboxApi(shop()), books::BooksApi(shop()));
    OpenApiService::new(apis, "Pillivery administration", "1.0")
        .description("Every operation needs the access token of an administrator.")
}
