//! The catalogue, as administrators change it. On a listener of its own.

use std::sync::Arc;

use contracts::{DiscountRate, ItemId, Position, Text, Won};
use domain::item::{Item, ItemCommand};
use event_store::{CommandContext, Recorded};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use service_kit::problem::Problem;
use service_kit::tokens::{AuthenticatedCaller, Caller};
use uuid::Uuid;

use super::Tag;
use crate::http::{Fields, IfMatch, etag};
use crate::problems;
use crate::shop::{Shop, metadata, principal};

/// The catalogue.
pub(crate) struct ItemsApi(pub(crate) Arc<Shop>);

/// Why an item leaves the shop window.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct WithdrawRequest {
    /// For the operators, 1 to 200 characters.
    reason: Option<String>,
}

/// What an item costs.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields, example)]
struct PriceRequest {
    /// Price of one piece before discount, in won.
    origin_price: i64,
    /// Discount in percent, 0 to 100 with at most one decimal.
    discount_rate: f64,
}

impl Example for PriceRequest {
    fn example() -> Self {
        Self { origin_price: 32_900, discount_rate: 12.5 }
    }
}

/// An item as it can be bought from here on.
#[derive(Object)]
#[oai(rename_all = "camelCase")]
struct OfferBody {
    /// Which.
    item_id: Uuid,
    /// Price of one piece before discount, in won.
    origin_price: i64,
    /// Price of one piece after discount, in won.
    unit_price: i64,
    /// Whether it can be bought.
    on_sale: bool,
}

#[derive(ApiResponse)]
enum ItemAnswer {
    /// The change is recorded.
    #[oai(status = 200)]
    Changed(
        Json<OfferBody>,
        /// The item's version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
        /// The position of this write in the log; absent when nothing changed.
        #[oai(header = "Event-Position")]
        Option<String>,
    ),
}

#[OpenApi(tag = "Tag::Catalogue")]
impl ItemsApi {
    /// Take an item out of the shop window.
    #[oai(path = "/admin/items/:id/withdraw", method = "post", operation_id = "withdrawItem")]
    async fn withdraw(
        &self,
        caller: AuthenticatedCaller,
        /// Which item.
        id: Path<Uuid>,
        /// Only at this version of the item.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        body: Json<WithdrawRequest>,
    ) -> Result<ItemAnswer, Problem> {
        caller.0.require_admin()?;
        let mut fields = Fields::default();
        let reason = match body.0.reason.as_deref() {
            None => None,
            Some(raw) => match fields.take("/reason", "reason.malformed", Text::parse(raw)) {
                Some(reason) => Some(reason),
                None => return Err(fields.problem()),
            },
        };
        let command = ItemCommand::WithdrawItem { by: principal(&caller.0), reason };
        self.change(&caller.0, ItemId::new(id.0), command, if_match).await
    }

    /// Put an item back into the shop window.
    #[oai(path = "/admin/items/:id/relist", method = "post", operation_id = "relistItem")]
    async fn relist(
        &self,
        caller: AuthenticatedCaller,
        /// Which item.
        id: Path<Uuid>,
        /// Only at this version of the item.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<ItemAnswer, Problem> {
        caller.0.require_admin()?;
        let command = ItemCommand::RelistItem { by: principal(&caller.0) };
        self.change(&caller.0, ItemId::new(id.0), command, if_match).await
    }

    /// Set an item's price and discount.
    #[oai(path = "/admin/items/:id/price", method = "put", operation_id = "priceItem")]
    async fn price(
        &self,
        caller: AuthenticatedCaller,
        /// Which item.
        id: Path<Uuid>,
        /// Only at this version of the item.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        body: Json<PriceRequest>,
    ) -> Result<ItemAnswer, Problem> {
        caller.0.require_admin()?;
        let mut fields = Fields::default();
        let origin_price =
            fields.take("/originPrice", "price.malformed", Won::try_from(body.0.origin_price));
        let discount_rate = fields.take(
            "/discountRate",
            "discount.malformed",
            discount_of(body.0.discount_rate).ok_or(contracts::money::DiscountOutOfRange),
        );
        let (Some(origin_price), Some(discount_rate)) = (origin_price, discount_rate) else {
            return Err(fields.problem());
        };
        let by = principal(&caller.0);
        let command = ItemCommand::PriceItem { by, origin_price, discount_rate };
        self.change(&caller.0, ItemId::new(id.0), command, if_match).await
    }
}

impl ItemsApi {
    async fn change(
        &self,
        caller: &Caller,
        id: ItemId,
        command: ItemCommand,
        if_match: IfMatch,
    ) -> Result<ItemAnswer, Problem> {
        let mut context = CommandContext::new(metadata(caller, None));
        context.expected_version = if_match.0;
        let recorded = self.0.items.dispatch(id.uuid(), command, context).await;
        answer(id, &recorded.map_err(problems::of_dispatch)?)
    }
}

fn answer(id: ItemId, recorded: &Recorded<Item>) -> Result<ItemAnswer, Problem> {
    let Some(offer) = recorded.state.offer() else {
        return Err(Problem::not_found("item.not_found", "there is no such item"));
    };
    let body = OfferBody {
        item_id: id.uuid(),
        origin_price: offer.origin_price.amount(),
        unit_price: offer.unit_price.amount(),
        on_sale: offer.on_sale,
    };
    let position = recorded.position.map(Position::token);
    Ok(ItemAnswer::Changed(Json(body), etag(recorded.version), position))
}

/// The rate that a JSON number of percents writes down: its shortest decimal form has at most one
/// digit behind the point.
fn discount_of(percent: f64) -> Option<DiscountRate> {
    let text = percent.to_string();
    let (whole, tenth) = text.split_once('.').unwrap_or((&text, "0"));
    if tenth.len() != 1 {
        return None;
    }
    format!("{whole}{tenth}").parse::<u16>().ok().and_then(|tenths| tenths.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discount_has_at_most_one_decimal() {
        for (percent, tenths) in [(0.0, 0), (12.5, 125), (100.0, 1000), (0.1, 1), (9.0, 90)] {
            assert_eq!(discount_of(percent).map(DiscountRate::tenths), Some(tenths), "{percent}");
        }
        for percent in [12.55, 100.1, -1.0, -0.0, 1e300, f64::NAN, f64::INFINITY, 1e-300] {
            assert_eq!(discount_of(percent), None, "{percent}");
        }
    }
}
