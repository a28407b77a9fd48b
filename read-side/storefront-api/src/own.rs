//! What is one's own: carts, orders and payments of the caller, and of nobody else.
//!
//! Every statement has the caller's id in its condition, so that somebody else's order is not found
//! rather than found and refused.

mod carts;
mod orders;
mod rows;

#[cfg(test)]
mod plans;

use std::sync::Arc;

use deadpool_postgres::Pool;
use service_kit::clock::SharedClock;
use service_kit::problem::Problem;
use service_kit::vault::Vault;

use crate::freshness::{self, Freshness, LookOut};
use crate::state::State;

/// The callers' own data. Clones share everything.
#[derive(Clone)]
pub(crate) struct Own {
    pool: Pool,
    vault: Vault,
    clock: SharedClock,
    look_out: LookOut,
}

impl Own {
    /// The callers' own data over `state`.
    pub(crate) fn new(state: &State) -> Self {
        Self {
            pool: state.pool.clone(),
            vault: state.vault.clone(),
            clock: Arc::clone(&state.clock),
            look_out: state.look_out.clone(),
        }
    }

    /// Waits until carts show what the client asks for; today's prices are the item's own event.
    pub(crate) async fn wait_for_cart(&self, token: Option<&str>) -> Result<Freshness, Problem> {
        self.wait(token, &["cart_view", "item_detail"]).await
    }

    /// Waits until orders show what the client asks for.
    pub(crate) async fn wait_for_orders(&self, token: Option<&str>) -> Result<Freshness, Problem> {
        self.wait(token, &["order_history"]).await
    }

    async fn wait(&self, token: Option<&str>, projections: &[&str]) -> Result<Freshness, Problem> {
        let position = freshness::asked_for(token)?;
        Ok(self.look_out.wait_for(position, projections).await)
    }
}
