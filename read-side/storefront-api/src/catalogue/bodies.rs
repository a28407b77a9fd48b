//! Putting bodies together out of stored cards, without reading what is in them.

/// One row of a list: what the answer shows, and where the row stands in its order.
#[derive(Debug)]
pub(crate) struct Card {
    /// The card as it is sent, one JSON object.
    pub(crate) json: String,
    /// The row's sort key.
    pub(crate) key: i64,
    /// The item, which breaks ties.
    pub(crate) item_id: uuid::Uuid,
}

/// Totals of a list, and the place of this page in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageInfo {
    /// The page, from 1; none when the answer begins behind a cursor.
    pub(crate) page: Option<u32>,
    /// Items a page.
    pub(crate) size: u16,
    /// Items in all.
    pub(crate) total_elements: i64,
}

impl PageInfo {
    /// Pages in all: 0 when there is no item.
    fn total_pages(self) -> i64 {
        let size = i64::from(self.size.max(1));
        (self.total_elements.max(0) + size - 1) / size
    }
}

/// The body of a list page.
pub(crate) fn list_page(cards: &[Card], info: PageInfo, next: Option<&str>) -> String {
    let mut body = with_room_for(cards);
    body.push_str("{\"items\":");
    push_cards(&mut body, cards);
    body.push_str(",\"pageInfo\":{");
    if let Some(page) = info.page {
        push_number(&mut body, "page", i64::from(page));
        body.push(',');
    }
    push_number(&mut body, "size", i64::from(info.size));
    body.push(',');
    push_number(&mut body, "totalElements", info.total_elements);
    body.push(',');
    push_number(&mut body, "totalPages", info.total_pages());
    body.push('}');
    if let Some(next) = next {
        // Base64 of the URL alphabet needs no escaping.
        body.push_str(",\"next\":\"");
        body.push_str(next);
        body.push('"');
    }
    body.push('}');
    body
}

/// The body of the main page.
pub(crate) fn main_page(by_discount: &[Card], by_sales: &[Card], newest: &[Card]) -> String {
    let mut body = with_room_for(by_discount);
    body.push_str("{\"byDiscount\":");
    push_cards(&mut body, by_discount);
    body.push_str(",\"bySales\":");
    push_cards(&mut body, by_sales);
    body.push_str(",\"newest\":");
    push_cards(&mut body, newest);
    body.push('}');
    body
}

fn with_room_for(cards: &[Card]) -> String {
    let room: usize = cards.iter().map(|card| card.json.len() + 1).sum();
    String::with_capacity(room + 256)
}

fn push_cards(body: &mut String, cards: &[Card]) {
    body.push('[');
    for (index, card) in cards.iter().enumerate() {
        if 0 < index {
            body.push(',');
        }
        body.push_str(&card.json);
    }
    body.push(']');
}

fn push_number(body: &mut String, name: &str, number: i64) {
    body.push('"');
    body.push_str(name);
    body.push_str("\":");
    body.push_str(&number.to_string());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn card(json: &str) -> Card {
        Card { json: json.to_owned(), key: 1, item_id: Uuid::nil() }
    }

    fn read(body: &str) -> Value {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_page_is_its_cards_one_after_the_other() {
        let info = PageInfo { page: Some(2), size: 2, total_elements: 5 };
        let body = list_page(&[card(r#"{"a":1}"#), card(r#"{"a":2}"#)], info, Some("abc"));
        assert_eq!(
            read(&body),
            json!({
                "items": [{ "a": 1 }, { "a": 2 }],
                "pageInfo": { "page": 2, "size": 2, "totalElements": 5, "totalPages": 3 },
                "next": "abc",
            })
        );
    }

    #[test]
    fn an_empty_list_has_no_pages() {
        let info = PageInfo { page: Some(1), size: 20, total_elements: 0 };
        let body = read(&list_page(&[], info, None));
        assert_eq!(body["pageInfo"]["totalPages"], 0);
        assert_eq!(body["items"], json!([]));
        assert!(body.get("next").is_none());
    }

    #[test]
    fn behind_a_cursor_a_page_has_no_number() {
        let info = PageInfo { page: None, size: 20, total_elements: 41 };
        let body = read(&list_page(&[], info, None));
        assert_eq!(body["pageInfo"], json!({ "size": 20, "totalElements": 41, "totalPages": 3 }));
    }
}
