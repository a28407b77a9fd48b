//! What follows from a paid order: its lines leave the cart, its subscriptions open, and end when
//! the order is called off or refunded in full.

use uuid::Uuid;

use crate::books::{Books, LineBook, OrderBook, SubscriptionBook};
use crate::verdict::Verdict;

/// Checks every line of every order.
pub(super) fn follow_up(books: &Books, verdict: &mut Verdict) {
    for (id, book) in &books.orders {
        for line in &book.lines {
            left_the_cart(*id, book, line, books, verdict);
            opened(*id, book, line, books, verdict);
        }
    }
    verdict.subscriptions =
        books.subscriptions.values().filter(|subscription| 0 < subscription.opened).count() as u64;
    verdict.subscriptions_ended =
        books.subscriptions.values().filter(|subscription| 0 < subscription.ended).count() as u64;
}

/// Whether the order was paid and is delivered: refunds count when they succeeded.
fn is_certain(book: &OrderBook) -> bool {
    let kept = book.approved_sum() - book.refunded_sum();
    0 < kept && book.ended_unpaid.is_none()
}

fn left_the_cart(
    id: Uuid,
    book: &OrderBook,
    line: &LineBook,
    books: &Books,
    verdict: &mut Verdict,
) {
    let times = books.bought.get(&(id, line.item)).copied().unwrap_or_default();
    // A refund that is refused later leaves in force what left the cart, even if all was asked for.
    let least = u32::from(book.from_cart && is_certain(book));
    let most = u32::from(book.from_cart && !book.approved.is_empty());
    if !(least..=most).contains(&times) {
        verdict.differences += 1;
        verdict.tell(format!(
            "different: line {} of {id} left the cart {times} times, not {least} to {most}",
            line.line_no
        ));
    }
}

fn opened(id: Uuid, book: &OrderBook, line: &LineBook, books: &Books, verdict: &mut Verdict) {
    let subscriptions = books.of_line(id, line.line_no);
    let times = subscriptions.len();
    let is_possible = book.is_subscription && !book.approved.is_empty();
    let least = usize::from(is_possible && is_certain(book) && !book.is_called_off());
    let most = usize::from(is_possible);
    let mut differs = |what: String| {
        verdict.differences += 1;
        verdict.tell(format!("different: line {} of {id} {what}", line.line_no));
    };
    if !(least..=most).contains(&times) {
        differs(format!("opened {times} times, not {least} to {most}"));
    }
    for subscription in subscriptions {
        if let Some(what) = wrong_terms(book, line, subscription) {
            differs(format!("opened with {what}"));
        }
        let is_over = book.is_called_off() || !is_certain(book);
        if subscription.opened != 1 || subscription.ended != u32::from(is_over) {
            differs(format!(
                "opened {} times and ended {} times; called off: {}, {} of {} refunded",
                subscription.opened,
                subscription.ended,
                book.is_called_off(),
                book.refunded_sum(),
                book.approved_sum()
            ));
        }
    }
}

/// The first term of a subscription that is not what was ordered.
fn wrong_terms(
    book: &OrderBook,
    line: &LineBook,
    subscription: &SubscriptionBook,
) -> Option<String> {
    if subscription.unit_price != line.unit_price {
        return Some(format!("price {}, not {}", subscription.unit_price, line.unit_price));
    }
    if Some(subscription.period) != line.period {
        return Some(format!("period {}, not {:?}", subscription.period, line.period));
    }
    if subscription.quantity != line.quantity {
        return Some(format!("quantity {}, not {}", subscription.quantity, line.quantity));
    }
    let is_paid_then = book.approved.iter().any(|it| it.paid_on == subscription.paid_on);
    let due = days_after(&subscription.paid_on, subscription.period);
    if !is_paid_then || due.as_deref() != Some(subscription.next_due_on.as_str()) {
        let paid_on = &subscription.paid_on;
        let next = &subscription.next_due_on;
        return Some(format!("due on {next}, paid on {paid_on}"));
    }
    None
}

fn days_after(date: &str, days: i64) -> Option<String> {
    let date: chrono::NaiveDate = date.parse().ok()?;
    let later = date.checked_add_signed(chrono::TimeDelta::try_days(days)?)?;
    Some(later.to_string())
}
