//! From a request to what is to be ordered: the lines, with today's offers, and the receiver.

use contracts::events::OrderKind;
use contracts::personal::AddressPart;
use contracts::{
    Address, CartKey, CartKind, ItemId, Period, Phone, Quantity, Receiver, ReceiverName,
};
use domain::item::ItemOffer;
use domain::order::{LINES_MAX, OfferedLine};
use futures_util::{StreamExt, TryStreamExt, stream};
use poem_openapi::Object;
use poem_openapi::types::Example;
use service_kit::problem::Problem;
use service_kit::tokens::Caller;
use uuid::Uuid;

use crate::api::{CartName, period, quantity};
use crate::http::Fields;
use crate::problems;
use crate::shop::Shop;

/// Items asked for their offer at once: a full cart then takes a few round trips' time, and one
/// request doesn't take all connections.
const OFFERS_AT_ONCE: usize = 4;

/// An order to be placed.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields, example)]
pub(crate) struct PlaceOrderRequest {
    /// Orders everything in this cart; the lines leave it when the order is paid.
    #[oai(skip_serializing_if_is_none)]
    from_cart: Option<CartName>,
    /// Orders these lines and touches no cart: 1 to 100, each item once, all with a period or none.
    #[oai(skip_serializing_if_is_none)]
    lines: Option<Vec<LineRequest>>,
    /// To whom.
    receiver: ReceiverRequest,
}

/// One line to be ordered.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct LineRequest {
    /// What.
    item_id: Uuid,
    /// How many, 1 to 99.
    quantity: i64,
    /// Days between deliveries, 30, 60, 90 or 120, when the line is to become a subscription.
    #[oai(skip_serializing_if_is_none)]
    period_days: Option<i64>,
}

/// Where and to whom an order is delivered.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct ReceiverRequest {
    /// The name on the parcel, 1 to 50 characters.
    name: String,
    /// A Korean mobile number.
    phone: String,
    /// The place.
    address: AddressRequest,
}

/// A postal address; each part has 1 to 200 characters.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct AddressRequest {
    /// Postal code.
    zip: String,
    /// Province, city and street.
    city: String,
    /// Building, floor and door.
    detail: String,
}

impl Example for PlaceOrderRequest {
    fn example() -> Self {
        Self {
            from_cart: Some(CartName::OneOff),
            lines: None,
            receiver: ReceiverRequest {
                name: "홍길동".to_owned(),
                phone: "010-1234-5678".to_owned(),
                address: AddressRequest {
                    zip: "04524".to_owned(),
                    city: "서울 중구 세종대로 110".to_owned(),
                    detail: "3층".to_owned(),
                },
            },
        }
    }
}

/// What is to be ordered, checked and priced.
pub(crate) struct Wanted {
    pub(crate) kind: OrderKind,
    pub(crate) from_cart: bool,
    pub(crate) lines: Vec<OfferedLine>,
    pub(crate) receiver: Receiver,
}

/// A request whose fields are right.
struct Checked {
    receiver: Receiver,
    source: Source,
}

/// Where the lines of an order come from.
enum Source {
    Cart(CartKind),
    Lines(OrderKind, Vec<Chosen>),
}

/// A line before its offer is known.
struct Chosen {
    item_id: ItemId,
    quantity: Quantity,
    period: Option<Period>,
}

impl Shop {
    /// What `request` of `caller` comes to at today's prices.
    pub(crate) async fn wanted(
        &self,
        caller: &Caller,
        request: &PlaceOrderRequest,
    ) -> Result<Wanted, Problem> {
        // Everything that can be judged without the log comes first: a refusal then costs no look-up,
        // however long the caller's cart and its history are.
        let Checked { receiver, source } = checked(request)?;
        let (kind, from_cart, chosen) = match source {
            Source::Cart(kind) => (order_kind(kind), true, self.cart_lines(caller, kind).await?),
            Source::Lines(kind, chosen) => (kind, false, chosen),
        };
        let lines = self.offered(chosen).await?;
        Ok(Wanted { kind, from_cart, lines, receiver })
    }

    /// Today's offers of `items`, in their order.
    pub(crate) async fn offers(
        &self,
        items: Vec<ItemId>,
    ) -> Result<Vec<(ItemId, Option<ItemOffer>)>, Problem> {
        let asked = items.into_iter().map(|id| async move { Ok((id, self.offer(id).await?)) });
        stream::iter(asked)
            .buffered(OFFERS_AT_ONCE)
            .try_collect()
            .await
            .map_err(|error| problems::of_store(&error))
    }

    async fn cart_lines(&self, caller: &Caller, kind: CartKind) -> Result<Vec<Chosen>, Problem> {
        let cart = CartKey { user_id: caller.user_id, kind };
        let loaded = self.carts.load(cart.id().uuid()).await;
        let loaded = loaded.map_err(|error| problems::of_store(&error))?;
        let lines = loaded.state.lines();
        if lines.is_empty() {
            return Err(Problem::conflict("order.empty_cart", "the cart is empty"));
        }
        Ok(lines
            .iter()
            .map(|line| Chosen {
                item_id: line.item_id,
                quantity: line.quantity,
                period: line.period,
            })
            .collect())
    }

    async fn offered(&self, chosen: Vec<Chosen>) -> Result<Vec<OfferedLine>, Problem> {
        let offers = self.offers(chosen.iter().map(|line| line.item_id).collect()).await?;
        let mut fields = Fields::default();
        let mut lines = Vec::with_capacity(chosen.len());
        for (index, (line, (_, offer))) in chosen.into_iter().zip(offers).enumerate() {
            let Some(offer) = offer else {
                let pointer = format!("/lines/{index}/itemId");
                fields.refuse(pointer, "item.not_found", "there is no such item");
                continue;
            };
            lines.push(OfferedLine {
                item_id: line.item_id,
                name: offer.name,
                origin_price: offer.origin_price,
                discount_rate: offer.discount_rate,
                on_sale: offer.on_sale,
                quantity: line.quantity,
                period: line.period,
            });
        }
        if fields.is_empty() { Ok(lines) } else { Err(fields.problem()) }
    }
}

/// What `request` says, if its fields are right.
fn checked(request: &PlaceOrderRequest) -> Result<Checked, Problem> {
    let mut fields = Fields::default();
    let receiver = receiver(&mut fields, &request.receiver);
    let source = match (request.from_cart, &request.lines) {
        (Some(cart), None) => Some(Source::Cart(CartKind::from(cart))),
        (None, Some(lines)) => {
            let is_subscription = lines.iter().any(|line| line.period_days.is_some());
            let kind = if is_subscription { OrderKind::Subscription } else { OrderKind::OneOff };
            direct_lines(&mut fields, lines).map(|chosen| Source::Lines(kind, chosen))
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::unprocessable(
                "order.source",
                "an order is placed either from a cart or of lines",
            ));
        }
    };
    let (Some(receiver), Some(source)) = (receiver, source) else {
        return Err(fields.problem());
    };
    Ok(Checked { receiver, source })
}

fn order_kind(kind: CartKind) -> OrderKind {
    match kind {
        CartKind::OneOff => OrderKind::OneOff,
        CartKind::Subscription => OrderKind::Subscription,
    }
}

fn direct_lines(fields: &mut Fields, lines: &[LineRequest]) -> Option<Vec<Chosen>> {
    // Looked at before any item is: a body holds thousands of lines.
    if !(1..=LINES_MAX).contains(&lines.len()) {
        fields.refuse("/lines", "order.line_count", "an order has 1 to 100 lines");
        return None;
    }
    let chosen: Vec<Option<Chosen>> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            let quantity = quantity(fields, format!("/lines/{index}/quantity"), line.quantity);
            let period = period(fields, format!("/lines/{index}/periodDays"), line.period_days);
            let item_id = ItemId::new(line.item_id);
            Some(Chosen { item_id, quantity: quantity?, period: period? })
        })
        .collect();
    chosen.into_iter().collect()
}

fn receiver(fields: &mut Fields, raw: &ReceiverRequest) -> Option<Receiver> {
    let ReceiverRequest { name, phone, address } = raw;
    let mut part = |name: &str, raw: &str| {
        let pointer = format!("/receiver/address/{name}");
        fields.take(pointer, "address.malformed", AddressPart::parse(raw))
    };
    let zip = part("zip", &address.zip);
    let city = part("city", &address.city);
    let detail = part("detail", &address.detail);
    let name = fields.take("/receiver/name", "receiver_name.malformed", ReceiverName::parse(name));
    let phone = fields.take("/receiver/phone", "phone.malformed", Phone::parse(phone));
    let address = Address { zip: zip?, city: city?, detail: detail? };
    Some(Receiver { name: name?, phone: phone?, address })
}
