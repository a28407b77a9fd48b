//! Given, when, then: what the item decides.

use std::collections::BTreeSet;

use contracts::events::{ItemDetails, ItemEvent};
use contracts::{Category, DiscountRate, EventBody, ReportNo, Won};

use super::{Item, ItemCommand, ItemRefusal, ItemTerms};
use crate::fixtures::{ADMIN, KIM, given, text, when, won};
use crate::kernel::{EventSourced, Principal};
use crate::pricing::ITEM_PRICE_MAX;

fn report_no(number: &str) -> ReportNo {
    ReportNo::try_from(number.to_owned()).unwrap()
}

fn details(name: &str) -> Box<ItemDetails> {
    Box::new(ItemDetails {
        product_name: text(name),
        enterprise: None,
        registered_on: None,
        expiration: None,
        appearance: None,
        serving_use: None,
        storage: None,
        intake_hint: None,
        main_function: None,
        base_standard: None,
        thumbnail_url: None,
        description_image_url: None,
    })
}

fn terms(price: i64, tenths: u16, categories: &[Category]) -> ItemTerms {
    ItemTerms {
        origin_price: won(price),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
        categories: categories.iter().copied().collect(),
    }
}

fn import(name: &str, terms: ItemTerms, keep_price: bool) -> ItemCommand {
    ItemCommand::ImportItem {
        report_no: report_no("200400150391"),
        details: details(name),
        terms,
        keep_price,
    }
}

fn register(terms: ItemTerms) -> ItemCommand {
    ItemCommand::RegisterItem {
        by: ADMIN,
        report_no: report_no("200400150391"),
        details: details("홍삼"),
        terms,
    }
}

fn registered() -> Item {
    let mut item = given::<Item>(&[]);
    when(&mut item, register(terms(10_000, 100, &[Category::Brain])));
    item
}

fn names(events: &[ItemEvent]) -> Vec<&'static str> {
    events.iter().map(EventBody::event_type).collect()
}

#[test]
fn a_registered_item_is_on_offer() {
    let offer = registered().offer().unwrap();
    assert_eq!((offer.origin_price, offer.unit_price), (won(10_000), won(9_000)));
    assert!(offer.on_sale);
    assert_eq!(Item::Unregistered.offer(), None);
    let again = registered().decide(register(terms(1, 0, &[Category::Eye])));
    assert_eq!(again, Err(ItemRefusal::AlreadyRegistered));
}

#[test]
fn importing_says_exactly_what_differs_and_nothing_when_nothing_does() {
    let mut item = Item::Unregistered;
    let as_first = || import("홍삼", terms(10_000, 100, &[Category::Brain]), false);
    assert_eq!(names(&when(&mut item, as_first())), ["ItemRegistered"]);
    assert_eq!(item.decide(as_first()), Ok(vec![]));
    let changed = import("흑삼", terms(12_000, 0, &[Category::Eye]), false);
    assert_eq!(
        names(&when(&mut item, changed)),
        ["ItemDetailsChanged", "ItemRepriced", "ItemDiscountChanged", "ItemRecategorised"]
    );
    let kept = import("흑삼", terms(99_000, 500, &[Category::Eye]), true);
    assert_eq!(item.decide(kept), Ok(vec![]));
}

#[test]
fn importing_does_not_put_a_withdrawn_item_back() {
    let mut item = registered();
    when(&mut item, ItemCommand::WithdrawItem { by: ADMIN, reason: Some(text("회수")) });
    let events = when(&mut item, import("흑삼", terms(10_000, 100, &[Category::Brain]), false));
    assert_eq!(names(&events), ["ItemDetailsChanged"]);
    assert!(!item.offer().unwrap().on_sale);
}

#[test]
fn another_report_number_is_another_item() {
    let command = ItemCommand::ImportItem {
        report_no: report_no("200400150399"),
        details: details("홍삼"),
        terms: terms(1, 0, &[Category::Eye]),
        keep_price: false,
    };
    assert_eq!(registered().decide(command), Err(ItemRefusal::OtherReportNo));
}

#[test]
fn each_edit_is_one_event_and_repeating_it_none() {
    let by = ADMIN;
    let eye = BTreeSet::from([Category::Eye]);
    for (command, name) in [
        (ItemCommand::ChangeDetails { by, details: details("흑삼") }, "ItemDetailsChanged"),
        (ItemCommand::RepriceItem { by, origin_price: won(1) }, "ItemRepriced"),
        (
            ItemCommand::ChangeDiscount { by, discount_rate: DiscountRate::NONE },
            "ItemDiscountChanged",
        ),
        (ItemCommand::RecategoriseItem { by, categories: eye }, "ItemRecategorised"),
        (ItemCommand::WithdrawItem { by, reason: None }, "ItemWithdrawn"),
    ] {
        let mut item = registered();
        assert_eq!(names(&when(&mut item, command.clone())), [name]);
        assert_eq!(item.decide(command), Ok(vec![]));
    }
    let mut item = registered();
    assert_eq!(item.decide(ItemCommand::RelistItem { by }), Ok(vec![]));
    when(&mut item, ItemCommand::WithdrawItem { by, reason: None });
    assert_eq!(names(&when(&mut item, ItemCommand::RelistItem { by })), ["ItemRelisted"]);
    assert!(item.offer().unwrap().on_sale);
}

#[test]
fn a_price_has_bounds() {
    for price in [0, ITEM_PRICE_MAX + 1, i64::MAX] {
        let command = ItemCommand::RepriceItem { by: ADMIN, origin_price: won(price) };
        assert_eq!(registered().decide(command), Err(ItemRefusal::PriceOutOfRange));
        let first = register(terms(price, 0, &[Category::Eye]));
        assert_eq!(Item::Unregistered.decide(first), Err(ItemRefusal::PriceOutOfRange));
    }
    let free = ItemCommand::RepriceItem { by: ADMIN, origin_price: Won::ZERO };
    assert_eq!(registered().decide(free), Err(ItemRefusal::PriceOutOfRange));
}

#[test]
fn an_item_is_shown_somewhere_and_not_under_everything_else_as_well() {
    let command = |categories: &[Category]| ItemCommand::RecategoriseItem {
        by: ADMIN,
        categories: categories.iter().copied().collect(),
    };
    assert_eq!(registered().decide(command(&[])), Err(ItemRefusal::NoCategory));
    assert_eq!(
        registered().decide(command(&[Category::Etc, Category::Eye])),
        Err(ItemRefusal::EtcNotAlone)
    );
    assert!(registered().decide(command(&[Category::Etc])).is_ok());
}

#[test]
fn shoppers_do_not_edit_the_catalogue() {
    let relist = |by| ItemCommand::RelistItem { by };
    assert_eq!(registered().decide(relist(KIM)), Err(ItemRefusal::NotFound));
    assert_eq!(Item::Unregistered.decide(relist(ADMIN)), Err(ItemRefusal::NotFound));
    assert!(registered().decide(relist(Principal::System)).is_ok());
    let ItemCommand::RegisterItem { report_no, details, terms, .. } =
        register(terms(1, 0, &[Category::Eye]))
    else {
        unreachable!()
    };
    let by_shopper = ItemCommand::RegisterItem { by: KIM, report_no, details, terms };
    assert_eq!(Item::Unregistered.decide(by_shopper), Err(ItemRefusal::NotFound));
}

#[test]
fn price_and_discount_change_together_or_not_at_all() {
    let price = |by, price, tenths| ItemCommand::PriceItem {
        by,
        origin_price: won(price),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
    };
    let mut item = registered();
    let events = when(&mut item, price(ADMIN, 77_700, 333));
    assert_eq!(events.len(), 2);
    assert_eq!(item.decide(price(ADMIN, 77_700, 333)), Ok(vec![]));
    assert_eq!(item.decide(price(ADMIN, 0, 0)), Err(ItemRefusal::PriceOutOfRange));
    assert_eq!(item.decide(price(KIM, 1_000, 0)), Err(ItemRefusal::NotFound));
}
