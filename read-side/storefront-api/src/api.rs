//! The operations, as OpenAPI describes them. A handler translates, asks, translates.
//!
//! Whose data it is comes from the token alone. Whatever isn't the caller's is answered like what
//! doesn't exist.

mod cart_routes;
mod catalogue_routes;
pub(crate) mod models;
mod order_routes;
mod policy;

use poem_openapi::{OpenApiService, Tags};

pub(crate) use policy::undeclared;

use crate::own::Own;
use crate::state::State;

/// How operations are grouped in the documentation.
#[derive(Tags)]
enum Tag {
    /// The shop window: open to everybody.
    Catalogue,
    /// The caller's carts.
    Carts,
    /// The caller's orders, with what was paid and given back.
    Orders,
}

type Apis = (catalogue_routes::CatalogueApi, cart_routes::CartApi, order_routes::OrderApi);

const DESCRIPTION: &str = include_str!("api/description.md");

/// All operations over `state`.
pub(crate) fn service(state: &State) -> OpenApiService<Apis, ()> {
    let own = || Own::new(state);
    let apis = (
        catalogue_routes::CatalogueApi::new(state),
        cart_routes::CartApi::new(own()),
        order_routes::OrderApi::new(own()),
    );
    OpenApiService::new(apis, "Pillivery storefront", "1.0").description(DESCRIPTION)
}
