//! The caller's two carts. Which cart is meant follows from the caller and its name, never from an
//! id in the request; a cart needs no creation.

use std::sync::Arc;

use contracts::events::CartEvent;
use contracts::{CartKey, ItemId, Position};
use domain::cart::{AddItem, Cart, CartCommand};
use event_store::{CommandContext, Recorded};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::{Example, ParseFromJSON, ToJSON};
use poem_openapi::{ApiResponse, Object, OpenApi};
use service_kit::problem::Problem;
use service_kit::tokens::{AuthenticatedCaller, Caller};
use uuid::Uuid;

use super::Tag;
use super::models::{CartName, period, quantity};
use crate::http::{Fields, IdempotencyKey, IfMatch, OptionalKey, REPLAYED, etag};
use crate::problems;
use crate::shop::{KEEP_ANSWER, Shop, metadata, principal};

/// The caller's carts.
pub(crate) struct CartsApi(pub(crate) Arc<Shop>);

/// What is put into a cart.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields, example)]
struct AddItemRequest {
    /// What.
    item_id: Uuid,
    /// How many more, 1 to 99; added to what is in the cart, up to 99.
    quantity: i64,
    /// Days between deliveries, 30, 60, 90 or 120: required in the subscription cart, refused in the
    /// other.
    period_days: Option<i64>,
}

impl Example for AddItemRequest {
    fn example() -> Self {
        Self { item_id: Uuid::nil(), quantity: 2, period_days: None }
    }
}

/// What becomes of a line. At least one of the two.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct ChangeLineRequest {
    /// How many from here on, 1 to 99.
    quantity: Option<i64>,
    /// Days between deliveries from here on; subscription cart only.
    period_days: Option<i64>,
}

/// Nothing to say; for the digest of a request without a body.
#[derive(Object)]
struct NoBody {}

/// A line of a cart.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct LineBody {
    /// What.
    item_id: Uuid,
    /// Its name when it was last added.
    item_name: String,
    /// How many.
    quantity: i64,
    /// Days between deliveries.
    #[oai(skip_serializing_if_is_none)]
    period_days: Option<i64>,
    /// The price of one piece when it was last added, in won.
    unit_price: i64,
}

/// What the cart looks like after the edit, as far as the edit goes.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct CartEditedBody {
    /// The line that was edited, if it is still there.
    #[oai(skip_serializing_if_is_none)]
    line: Option<LineBody>,
    /// Whether fewer pieces were added than asked for, because a line holds at most 99.
    capped: bool,
    /// Lines in the cart.
    lines: u32,
}

#[derive(ApiResponse)]
enum CartAnswer {
    /// The edit is recorded.
    #[oai(status = 200)]
    Edited(
        Json<CartEditedBody>,
        /// The cart's version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
        /// The position of this write in the log; absent when nothing changed.
        #[oai(header = "Event-Position")]
        Option<String>,
        /// `true` when this very request was carried out before.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

/// What a request on a cart comes with besides its body.
struct Asked<'a> {
    caller: &'a Caller,
    cart: CartName,
    operation: &'static str,
    key: Option<&'a IdempotencyKey>,
    if_match: Option<u64>,
}

#[OpenApi(tag = "Tag::Carts")]
impl CartsApi {
    /// Put an item into a cart.
    ///
    /// An item that is in the cart already gets more pieces and today's price.
    #[oai(path = "/api/carts/:kind/items", method = "post", operation_id = "addCartItem")]
    async fn add(
        &self,
        caller: AuthenticatedCaller,
        /// Which cart.
        kind: Path<CartName>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: OptionalKey,
        /// Only at this version of the cart.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        body: Json<AddItemRequest>,
    ) -> Result<CartAnswer, Problem> {
        let asked = Asked {
            caller: &caller.0,
            cart: kind.0,
            operation: "POST /api/carts/{kind}/items",
            key: key.0.as_ref(),
            if_match: if_match.0,
        };
        self.0.limits.edits.check(&caller.0.user_id)?;
        let mut fields = Fields::default();
        let quantity = quantity(&mut fields, "/quantity".to_owned(), body.quantity);
        let period = period(&mut fields, "/periodDays".to_owned(), body.period_days);
        let (Some(quantity), Some(period)) = (quantity, period) else {
            return Err(fields.problem());
        };
        let item_id = ItemId::new(body.item_id);
        let offer = self.0.offer(item_id).await.map_err(|error| problems::of_store(&error))?;
        let Some(offer) = offer else {
            return Err(Problem::not_found("item.not_found", "there is no such item"));
        };
        let item = AddItem {
            item_id,
            item_name: offer.name,
            quantity,
            period,
            unit_price: offer.unit_price,
            on_sale: offer.on_sale,
        };
        let command = CartCommand::AddItem { by: principal(&caller.0), cart: asked.key(), item };
        self.edit(&asked, command, &body.0).await
    }

    /// Change a line's quantity or period.
    #[oai(
        path = "/api/carts/:kind/items/:item_id",
        method = "patch",
        operation_id = "changeCartItem"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn change(
        &self,
        caller: AuthenticatedCaller,
        /// Which cart.
        kind: Path<CartName>,
        /// Which line.
        item_id: Path<Uuid>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: OptionalKey,
        /// Only at this version of the cart.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        body: Json<ChangeLineRequest>,
    ) -> Result<CartAnswer, Problem> {
        let asked = Asked {
            caller: &caller.0,
            cart: kind.0,
            operation: "PATCH /api/carts/{kind}/items/{itemId}",
            key: key.0.as_ref(),
            if_match: if_match.0,
        };
        self.0.limits.edits.check(&caller.0.user_id)?;
        let item_id = ItemId::new(item_id.0);
        let command = change_of(&asked, item_id, &body.0)?;
        self.edit(&asked, command, &body.0).await
    }

    /// Take an item out of a cart.
    ///
    /// An item that isn't in the cart is no error: it is out either way.
    #[oai(
        path = "/api/carts/:kind/items/:item_id",
        method = "delete",
        operation_id = "removeCartItem"
    )]
    async fn remove(
        &self,
        caller: AuthenticatedCaller,
        /// Which cart.
        kind: Path<CartName>,
        /// Which line.
        item_id: Path<Uuid>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: OptionalKey,
        /// Only at this version of the cart.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<CartAnswer, Problem> {
        let asked = Asked {
            caller: &caller.0,
            cart: kind.0,
            operation: "DELETE /api/carts/{kind}/items/{itemId}",
            key: key.0.as_ref(),
            if_match: if_match.0,
        };
        self.0.limits.edits.check(&caller.0.user_id)?;
        let item_id = ItemId::new(item_id.0);
        let by = principal(&caller.0);
        let command = CartCommand::RemoveItem { by, cart: asked.key(), item_id };
        self.edit(&asked, command, &NoBody {}).await
    }

    /// Empty a cart.
    #[oai(path = "/api/carts/:kind/items", method = "delete", operation_id = "clearCart")]
    async fn clear(
        &self,
        caller: AuthenticatedCaller,
        /// Which cart.
        kind: Path<CartName>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: OptionalKey,
        /// Only at this version of the cart.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<CartAnswer, Problem> {
        let asked = Asked {
            caller: &caller.0,
            cart: kind.0,
            operation: "DELETE /api/carts/{kind}/items",
            key: key.0.as_ref(),
            if_match: if_match.0,
        };
        self.0.limits.edits.check(&caller.0.user_id)?;
        let command = CartCommand::ClearCart { by: principal(&caller.0), cart: asked.key() };
        self.edit(&asked, command, &NoBody {}).await
    }
}

impl CartsApi {
    async fn edit(
        &self,
        asked: &Asked<'_>,
        command: CartCommand,
        body: &impl ToJSON,
    ) -> Result<CartAnswer, Problem> {
        let (cart, edit) = (asked.key(), Edit::of(&command));
        let mut context = CommandContext::new(metadata(asked.caller, asked.key))
            .answering(move |state, events| edit.body(state, events).to_json().unwrap_or_default());
        context.expected_version = asked.if_match;
        context.receipt = asked.key.map(|key| {
            let item = edit.item_id.map(|item_id| item_id.to_string()).unwrap_or_default();
            let addressed = format!("{} {item}", cart.kind.as_str());
            self.0.receipt(asked.caller, asked.operation, key, (&addressed, body), KEEP_ANSWER)
        });
        let recorded = self.0.carts.dispatch(cart.id().uuid(), command, context).await;
        answer(recorded.map_err(problems::of_dispatch)?, edit)
    }
}

impl Asked<'_> {
    fn key(&self) -> CartKey {
        CartKey { user_id: self.caller.user_id, kind: self.cart.into() }
    }
}

fn change_of(
    asked: &Asked<'_>,
    item_id: ItemId,
    body: &ChangeLineRequest,
) -> Result<CartCommand, Problem> {
    let mut fields = Fields::default();
    let (by, cart) = (principal(asked.caller), asked.key());
    match (body.quantity, body.period_days) {
        (Some(raw), None) => quantity(&mut fields, "/quantity".to_owned(), raw)
            .map(|quantity| CartCommand::ChangeQuantity { by, cart, item_id, quantity })
            .ok_or_else(|| fields.problem()),
        (None, Some(raw)) => period(&mut fields, "/periodDays".to_owned(), Some(raw))
            .flatten()
            .map(|period| CartCommand::ChangePeriod { by, cart, item_id, period })
            .ok_or_else(|| fields.problem()),
        (None, None) | (Some(_), Some(_)) => Err(Problem::unprocessable(
            "cart.one_change",
            "a change names either a quantity or a period",
        )),
    }
}

/// What an edit is about, for its answer.
#[derive(Debug, Clone, Copy)]
struct Edit {
    item_id: Option<ItemId>,
    is_addition: bool,
}

impl Edit {
    fn of(command: &CartCommand) -> Self {
        let item_id = match command {
            CartCommand::AddItem { item, .. } => Some(item.item_id),
            CartCommand::ChangeQuantity { item_id, .. }
            | CartCommand::ChangePeriod { item_id, .. }
            | CartCommand::RemoveItem { item_id, .. } => Some(*item_id),
            CartCommand::ClearCart { .. } | CartCommand::RemoveBought { .. } => None,
        };
        Self { item_id, is_addition: matches!(command, CartCommand::AddItem { .. }) }
    }

    fn body(self, cart: &Cart, events: &[CartEvent]) -> CartEditedBody {
        let line = self.item_id.and_then(|item_id| cart.line(item_id)).map(|line| LineBody {
            item_id: line.item_id.uuid(),
            item_name: line.item_name.to_string(),
            quantity: line.quantity.into(),
            period_days: line.period.map(i64::from),
            unit_price: line.unit_price.amount(),
        });
        // An addition that changed nothing met a full line.
        let capped = self.is_addition && (events.is_empty() || cart.latest_add_was_cut());
        let lines = u32::try_from(cart.lines().len()).unwrap_or(u32::MAX);
        CartEditedBody { line, capped, lines }
    }
}

fn answer(recorded: Recorded<Cart>, edit: Edit) -> Result<CartAnswer, Problem> {
    let replayed = recorded.replayed.is_some().then(|| REPLAYED.to_owned());
    let body = match recorded.replayed {
        None => edit.body(&recorded.state, &recorded.events),
        Some(stored) => CartEditedBody::parse_from_json(Some(stored)).map_err(|_not_ours| {
            tracing::error!("a stored answer of a cart cannot be read");
            Problem::internal_unexplained()
        })?,
    };
    let position = recorded.position.map(Position::token);
    Ok(CartAnswer::Edited(Json(body), etag(recorded.version), position, replayed))
}
