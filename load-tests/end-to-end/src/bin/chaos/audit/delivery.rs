//! Compares each acknowledged order with its request: user, lines, receiver and total.

use contracts::personal::Sealed;
use contracts::{OrderId, Receiver, UserId, seals};
use service_kit::vault::Vault;
use uuid::Uuid;

use super::opening::patiently_opened;
use crate::Failure;
use crate::books::{Books, LineBook, OrderBook};
use crate::intents::{Wanted, WantedLine, Wish};
use crate::shopper::Told;
use crate::verdict::Verdict;

/// Compares every acknowledged order with what its shopper sent.
pub(super) async fn compare(
    vault: &Vault,
    books: &Books,
    told: &Told,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    for (_, intent) in told.intents.all().filter(|(_, intent)| intent.is_acknowledged()) {
        let Wish::Place(wanted) = &intent.wish else {
            continue;
        };
        // An order that is not in the log is a broken promise already.
        let Some((id, book)) = intent.order.and_then(|id| Some((id, books.orders.get(&id)?)))
        else {
            continue;
        };
        let mut found = wrong_order(book, wanted);
        found.extend(wrong_receiver(vault, id, book, wanted).await);
        for what in found {
            verdict.differences += 1;
            verdict.tell(format!("different: order {id} {what}"));
        }
    }
    Ok(())
}

/// Everything but the receiver.
fn wrong_order(book: &OrderBook, wanted: &Wanted) -> Vec<String> {
    let mut found = Vec::new();
    if book.user != wanted.user {
        found.push(format!("is of user {}, placed by {}", book.user, wanted.user));
    }
    if book.total != wanted.total {
        found.push(format!("costs {}, by the catalogue {}", book.total, wanted.total));
    }
    let line = |line: &LineBook| WantedLine {
        item: line.item,
        quantity: line.quantity,
        period: line.period,
    };
    let mut lines: Vec<WantedLine> = book.lines.iter().map(line).collect();
    let mut asked_for = wanted.lines.clone();
    lines.sort_unstable();
    asked_for.sort_unstable();
    if lines != asked_for {
        let differing = lines.iter().filter(|line| !asked_for.contains(line)).count();
        found.push(format!(
            "has {} lines, {differing} of them not asked for; {} were",
            lines.len(),
            asked_for.len()
        ));
    }
    found
}

/// What is wrong with the receiver, without a word of it.
async fn wrong_receiver(
    vault: &Vault,
    id: Uuid,
    book: &OrderBook,
    wanted: &Wanted,
) -> Option<String> {
    let Ok(sealed) = serde_json::from_value::<Sealed<Receiver>>(book.receiver.clone()) else {
        return Some("has no sealed receiver".to_owned());
    };
    let (user, stream) = (UserId::new(book.user), seals::order_stream(OrderId::new(id)));
    match patiently_opened(vault, user, &stream, seals::RECEIVER, &sealed).await {
        Ok(Some(receiver)) => {
            let parts = differing_parts(&receiver, &wanted.receiver);
            (!parts.is_empty()).then(|| format!("goes to another receiver: {}", parts.join(", ")))
        }
        Ok(None) => Some("belongs to a user without a key".to_owned()),
        Err(error) => Some(format!("has a receiver that does not open: {error}")),
    }
}

/// The names of the parts in which two receivers differ.
fn differing_parts(ours: &Receiver, wanted: &Receiver) -> Vec<&'static str> {
    let pairs = [
        ("name", ours.name.expose(), wanted.name.expose()),
        ("phone", ours.phone.expose(), wanted.phone.expose()),
        ("zip", ours.address.zip.expose(), wanted.address.zip.expose()),
        ("city", ours.address.city.expose(), wanted.address.city.expose()),
        ("detail", ours.address.detail.expose(), wanted.address.detail.expose()),
    ];
    pairs.into_iter().filter(|(_, ours, wanted)| ours != wanted).map(|(part, ..)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn receiver(name: &str, phone: &str) -> Receiver {
        let address = json!({ "zip": "04524", "city": "서울 중구", "detail": "3층" });
        let receiver = json!({ "name": name, "phone": phone, "address": address });
        serde_json::from_value(receiver).unwrap()
    }

    fn wanted() -> Wanted {
        let line =
            |item, quantity| WantedLine { item: Uuid::from_u128(item), quantity, period: None };
        Wanted {
            user: Uuid::from_u128(9),
            total: 300,
            lines: vec![line(2, 1), line(1, 2)],
            receiver: receiver("홍길동", "010-1234-5678"),
        }
    }

    fn placed(user: u128, lines: &[(u128, i64)]) -> OrderBook {
        let line = |(item, quantity): &(u128, i64)| LineBook {
            line_no: 1,
            item: Uuid::from_u128(*item),
            quantity: *quantity,
            unit_price: 100,
            period: None,
        };
        let lines = lines.iter().map(line).collect();
        OrderBook { user: Uuid::from_u128(user), total: 300, lines, ..OrderBook::default() }
    }

    #[test]
    fn an_order_is_of_its_account_and_of_the_lines_asked_for_in_any_order() {
        let found = |book: &OrderBook| wrong_order(book, &wanted()).len();
        assert_eq!(found(&placed(9, &[(1, 2), (2, 1)])), 0);
        // All of these passed before: only the total was compared, and it is the same.
        assert_eq!(found(&placed(8, &[(1, 2), (2, 1)])), 1);
        assert_eq!(found(&placed(9, &[(1, 1), (2, 2)])), 1);
        assert_eq!(found(&placed(9, &[(3, 2), (2, 1)])), 1);
        assert_eq!(found(&placed(9, &[(1, 2), (2, 1), (2, 1)])), 1);
    }

    #[test]
    fn another_receiver_is_named_by_its_parts_alone() {
        let wanted = wanted().receiver;
        assert!(differing_parts(&receiver("홍길동", "01012345678"), &wanted).is_empty());
        let other = receiver("홍길순", "01012345679");
        assert_eq!(differing_parts(&other, &wanted), ["name", "phone"]);
    }
}
