//! Placing an order and asking to pay for it: the two moments that look at today's prices.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{AbandonReason, OrderEvent, OrderKind, OrderLine};
use contracts::{ItemId, OrderNumber, Text, UserId, Won, calendar};

use super::paying::abandoned;
use super::state::{Attempt, Course, PlacedOrder, Stage};
use super::{Decision, OfferedLine, OrderRefusal, PlaceOrder, PriceChange};
use crate::item::ItemOffer;
use crate::kernel::Principal;
use crate::pricing::{self, ORDER_TOTAL_MAX, Totals};

/// The most lines an order may have; a full cart fits.
pub const LINES_MAX: usize = 100;
/// How long an order waits to be paid: as long as the gateway keeps a payment page open.
pub const EXPIRES_AFTER: TimeDelta = TimeDelta::minutes(15);
/// How long an attempt waits for its payment page before the next one takes its place. The relay
/// ends its tries for a page, three calls of twelve seconds, within a minute; later its row is dead.
pub const PAGE_AWAITED: TimeDelta = TimeDelta::minutes(2);
/// What the gateway takes as the name of a purchase, in characters.
const ITEM_NAME_CHARS_MAX: usize = 100;

const _: () = assert!(crate::cart::LINES_MAX <= LINES_MAX);

/// Decides about an order that isn't there yet.
pub(super) fn place(command: PlaceOrder) -> Decision {
    let user_id = owner_of(command.by)?;
    check_lines(command.kind, &command.lines)?;
    let lines = numbered(command.lines);
    let Totals { total, tax_free, vat } = totals_of(&lines)?;
    Ok(vec![OrderEvent::Placed {
        order_id: command.order_id,
        number: OrderNumber::derive(calendar::business_date(command.at), command.order_id.uuid()),
        user_id,
        kind: command.kind,
        from_cart: command.from_cart,
        lines,
        total,
        tax_free,
        vat,
        receiver: command.receiver,
        placed_at: command.at,
        expires_at: command.at + EXPIRES_AFTER,
    }])
}

fn owner_of(by: Principal) -> Result<UserId, OrderRefusal> {
    match by {
        Principal::User(user_id) | Principal::Admin(user_id) => Ok(user_id),
        Principal::System => Err(OrderRefusal::OwnerRequired),
    }
}

fn check_lines(kind: OrderKind, lines: &[OfferedLine]) -> Result<(), OrderRefusal> {
    if !(1..=LINES_MAX).contains(&lines.len()) {
        return Err(OrderRefusal::LineCount);
    }
    let distinct: BTreeSet<ItemId> = lines.iter().map(|line| line.item_id).collect();
    if distinct.len() != lines.len() {
        return Err(OrderRefusal::RepeatedItem);
    }
    match kind {
        OrderKind::Subscription if lines.iter().any(|line| line.period.is_none()) => {
            return Err(OrderRefusal::PeriodRequired);
        }
        OrderKind::OneOff if lines.iter().any(|line| line.period.is_some()) => {
            return Err(OrderRefusal::PeriodNotAllowed);
        }
        OrderKind::Subscription | OrderKind::OneOff => {}
    }
    let withdrawn: Vec<ItemId> =
        lines.iter().filter(|line| !line.on_sale).map(|line| line.item_id).collect();
    if !withdrawn.is_empty() {
        return Err(OrderRefusal::ItemWithdrawn { items: withdrawn });
    }
    Ok(())
}

fn numbered(lines: Vec<OfferedLine>) -> Vec<OrderLine> {
    let numbered = |(line_no, line): (u16, OfferedLine)| OrderLine {
        line_no,
        item_id: line.item_id,
        item_name: line.name,
        origin_price: line.origin_price,
        discount_rate: line.discount_rate,
        unit_price: line.discount_rate.price_of(line.origin_price),
        quantity: line.quantity,
        period: line.period,
    };
    (1..).zip(lines).map(numbered).collect()
}

fn totals_of(lines: &[OrderLine]) -> Result<Totals, OrderRefusal> {
    let totals = pricing::totals(lines.iter().map(|line| (line.unit_price, line.quantity)))
        .ok_or(OrderRefusal::TotalOutOfRange)?;
    if !(1..=ORDER_TOTAL_MAX).contains(&totals.total.amount()) {
        return Err(OrderRefusal::TotalOutOfRange);
    }
    Ok(totals)
}

impl PlacedOrder {
    /// The same order again, for example after a lost answer, is no second one.
    pub(super) fn place_again(&self, command: &PlaceOrder) -> Decision {
        if owner_of(command.by)? == self.user_id {
            return Ok(Vec::new());
        }
        Err(OrderRefusal::AlreadyPlaced)
    }

    pub(super) fn request_payment(
        &self,
        by: Principal,
        current_offers: &[(ItemId, ItemOffer)],
        at: DateTime<Utc>,
    ) -> Decision {
        self.check_owner(by)?;
        if self.paid_in_time().is_some() {
            return Err(OrderRefusal::AlreadyPaid);
        }
        let open = self.open_attempt();
        let overdue = open.filter(|attempt| attempt.lacks_its_page(at));
        match open.map(|attempt| &attempt.stage) {
            Some(Stage::Requested) if overdue.is_some() => {}
            // Two tabs, two clicks: the attempt that waits for the shopper is the one to go on with.
            Some(Stage::Requested | Stage::Ready) => {
                return self.check_in_time(at).map(|()| Vec::new());
            }
            Some(Stage::Unresolved { .. }) => return Err(OrderRefusal::PaymentUnresolved),
            Some(Stage::ApprovalRequested { .. }) => return Err(OrderRefusal::PaymentUnderWay),
            Some(Stage::Approved(_) | Stage::Declined { .. } | Stage::Abandoned { .. }) | None => {}
        }
        self.check_in_time(at)?;
        self.check_offers(current_offers)?;
        let attempt = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let given_up = overdue.map(|old| abandoned(old.number, AbandonReason::NotSent, at));
        let requested = OrderEvent::PaymentRequested {
            attempt,
            partner_order_id: cut(&format!("{}-{attempt}", self.order_id), "")?,
            item_name: self.purchase_name()?,
            quantity: self.lines.iter().map(|line| line.quantity.count()).sum(),
            amount: self.total,
            tax_free: self.tax_free,
            vat: self.vat,
            recurring: self.kind == OrderKind::Subscription,
            requested_at: at,
        };
        Ok(given_up.into_iter().chain([requested]).collect())
    }

    fn check_in_time(&self, at: DateTime<Utc>) -> Result<(), OrderRefusal> {
        match self.course {
            Course::Cancelled => Err(OrderRefusal::Cancelled),
            Course::Expired => Err(OrderRefusal::Expired),
            // Its time ran out, only the process that says so hasn't come by yet.
            Course::Open if self.expires_at <= at => Err(OrderRefusal::Expired),
            Course::Open => Ok(()),
        }
    }

    fn check_offers(&self, current_offers: &[(ItemId, ItemOffer)]) -> Result<(), OrderRefusal> {
        let offer_of = |line: &OrderLine| {
            current_offers
                .iter()
                .find(|(item_id, _)| *item_id == line.item_id)
                .map(|(_, offer)| offer)
                .filter(|offer| offer.on_sale)
        };
        let gone = self.lines.iter().filter(|line| offer_of(line).is_none());
        let gone: Vec<ItemId> = gone.map(|line| line.item_id).collect();
        if !gone.is_empty() {
            return Err(OrderRefusal::ItemWithdrawn { items: gone });
        }
        let now = |line: &OrderLine| offer_of(line).map_or(Won::ZERO, |offer| offer.unit_price);
        let changed = self.lines.iter().filter(|line| now(line) != line.unit_price);
        let changes: Vec<PriceChange> = changed
            .map(|line| PriceChange {
                item_id: line.item_id,
                item_name: line.item_name.clone(),
                ordered: line.unit_price,
                now: now(line),
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let new_total =
            pricing::sum_of_lines(self.lines.iter().map(|line| (now(line), line.quantity)))
                .ok_or(OrderRefusal::TotalOutOfRange)?;
        Err(OrderRefusal::PriceChanged { changes, new_total })
    }

    /// The first product, and how many more there are.
    fn purchase_name(&self) -> Result<Text<100>, OrderRefusal> {
        let Some((first, others)) = self.lines.split_first() else {
            return Err(OrderRefusal::LineCount);
        };
        let more = match others.len() {
            0 => String::new(),
            others => format!(" 외 {others}건"),
        };
        cut(first.item_name.as_str(), &more)
    }
}

impl Attempt {
    fn lacks_its_page(&self, at: DateTime<Utc>) -> bool {
        self.stage == Stage::Requested && self.requested_at + PAGE_AWAITED <= at
    }
}

/// `text` followed by `ending`, the text shortened where both exceed 100 characters.
fn cut(text: &str, ending: &str) -> Result<Text<100>, OrderRefusal> {
    let room = ITEM_NAME_CHARS_MAX.saturating_sub(ending.chars().count());
    // A line feed in a product's name has no place on a payment page.
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shortened: String = one_line.chars().take(room).collect();
    // What is cut comes from checked text and can't be refused; if it were, nothing is asked for.
    let name = Text::parse(&format!("{}{ending}", shortened.trim_end()));
    name.ok().ok_or(OrderRefusal::LineCount)
}
