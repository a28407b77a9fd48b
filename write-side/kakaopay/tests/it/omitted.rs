//! A look-up whose optional fields are absent: the refunded sum is the true one or unreadable, and
//! never another sum.

use kakaopay::Order;
use serde_json::{Value, json};

const TOTAL: i64 = 2_200;

/// Where an optional field stands in the answer. Fields of the history stand in each of its entries.
const OPTIONAL: &[&[&str]] = &[
    &["canceled_amount"],
    &["cancel_available_amount"],
    &["payment_action_details"],
    &["payment_action_details", "*", "amount"],
    &["payment_action_details", "*", "aid"],
    &["payment_action_details", "*", "payment_action_type"],
    &["payment_action_details", "0", "amount"],
    &["payment_action_details", "1", "amount"],
    &["payment_action_details", "1", "aid"],
    &["amount", "tax_free"],
    &["amount", "vat"],
    &["canceled_at"],
];

/// An answer of a payment of which `parts` went back.
fn answer(status: &str, parts: &[i64]) -> Value {
    let sum = |total: i64| json!({ "total": total, "tax_free": 0, "vat": total / 11 });
    let canceled: i64 = parts.iter().sum();
    let action = |number: usize, kind: &str, amount: i64| json!({ "aid": format!("A{number:019}"), "payment_action_type": kind, "amount": amount });
    let mut actions = vec![action(0, "PAYMENT", TOTAL)];
    actions.extend(parts.iter().enumerate().map(|(n, part)| action(n + 1, "CANCEL", *part)));
    json!({
        "tid": "T1234567890123456789",
        "cid": "TC0ONETIME",
        "status": status,
        "partner_order_id": "order-1",
        "partner_user_id": "user-1",
        "amount": sum(TOTAL),
        "canceled_amount": sum(canceled),
        "cancel_available_amount": sum(TOTAL - canceled),
        "created_at": "2016-11-15T21:18:22",
        "approved_at": "2016-11-15T21:20:48",
        "canceled_at": "2016-11-15T21:22:48",
        "payment_action_details": actions,
    })
}

fn omit(value: &mut Value, path: &[&str]) {
    let [first, rest @ ..] = path else { return };
    match value {
        Value::Object(fields) if rest.is_empty() => {
            fields.remove(*first);
        }
        Value::Object(fields) => {
            if let Some(inner) = fields.get_mut(*first) {
                omit(inner, rest);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter_mut().enumerate() {
                if *first == "*" || *first == index.to_string() {
                    omit(entry, rest);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The refunded sum as the client reads it; `None` when it says that it cannot.
fn read(answer: Value) -> Option<i64> {
    serde_json::from_value::<Order>(answer).ok()?.canceled_total()
}

const STORIES: &[(&str, &[i64])] = &[
    ("SUCCESS_PAYMENT", &[]),
    ("PART_CANCEL_PAYMENT", &[700]),
    ("PART_CANCEL_PAYMENT", &[700, 700]),
    ("CANCEL_PAYMENT", &[TOTAL]),
    ("CANCEL_PAYMENT", &[700, 1_500]),
];

#[test]
fn no_omission_makes_another_sum_of_the_refunds() {
    for (status, parts) in STORIES {
        let truth: i64 = parts.iter().sum();
        assert_eq!(read(answer(status, parts)), Some(truth), "{status} {parts:?}");
        for subset in 0..(1_u32 << OPTIONAL.len()) {
            let omitted: Vec<_> = OPTIONAL
                .iter()
                .enumerate()
                .filter(|(bit, _)| subset & (1 << bit) != 0)
                .map(|(_, path)| *path)
                .collect();
            let mut answer = answer(status, parts);
            for path in &omitted {
                omit(&mut answer, path);
            }
            let told = read(answer);
            assert!(
                told.is_none_or(|sum| sum == truth),
                "{status} {parts:?} {omitted:?}: {told:?}"
            );
        }
    }
}

#[test]
fn each_source_is_enough_by_itself() {
    let sources = [OPTIONAL[0], OPTIONAL[1], OPTIONAL[2]];
    for (status, parts) in STORIES {
        let truth: i64 = parts.iter().sum();
        for kept in sources {
            let mut answer = answer(status, parts);
            for path in sources.iter().filter(|path| **path != kept) {
                omit(&mut answer, path);
            }
            assert_eq!(read(answer), Some(truth), "{status} {parts:?} {kept:?}");
        }
    }
}

/// How much of it went back, this status leaves open.
#[test]
fn a_partly_cancelled_payment_without_any_sum_is_unreadable() {
    for parts in [vec![700], vec![700, 700]] {
        assert_eq!(read(without_sums("PART_CANCEL_PAYMENT", &parts)), None, "{parts:?}");
    }
}

/// This status is itself the statement that all of it went back.
#[test]
fn a_cancelled_payment_without_any_sum_was_refunded_in_full() {
    for parts in [vec![TOTAL], vec![700, 1_500]] {
        assert_eq!(read(without_sums("CANCEL_PAYMENT", &parts)), Some(TOTAL), "{parts:?}");
    }
}

fn without_sums(status: &str, parts: &[i64]) -> Value {
    let mut answer = answer(status, parts);
    for path in &OPTIONAL[..3] {
        omit(&mut answer, path);
    }
    answer
}

#[test]
fn a_contradiction_is_unreadable() {
    let contradictions = [
        // The status against the sums.
        ("SUCCESS_PAYMENT", vec![700], json!({})),
        ("CANCEL_PAYMENT", vec![700], json!({})),
        ("PART_CANCEL_PAYMENT", vec![], json!({})),
        ("PART_CANCEL_PAYMENT", vec![TOTAL], json!({})),
        ("READY", vec![700], json!({})),
        ("FAIL_PAYMENT", vec![700], json!({})),
        // The sums against one another.
        ("PART_CANCEL_PAYMENT", vec![700], json!({ "canceled_amount": { "total": 600 } })),
        (
            "PART_CANCEL_PAYMENT",
            vec![700],
            json!({ "cancel_available_amount": { "total": 1_400 } }),
        ),
        ("PART_CANCEL_PAYMENT", vec![700], json!({ "canceled_amount": { "total": -700 } })),
        ("CANCEL_PAYMENT", vec![TOTAL], json!({ "canceled_amount": { "total": TOTAL + 1 } })),
    ];
    for (status, parts, patch) in contradictions {
        let mut answer = answer(status, &parts);
        for (field, value) in patch.as_object().expect("an object") {
            answer[field] = value.clone();
        }
        assert_eq!(read(answer), None, "{status} {parts:?} {patch}");
    }
}

#[test]
fn a_history_that_is_not_wholly_understood_is_no_source() {
    let odd_entries = [
        json!({ "aid": "A9", "payment_action_type": "REVERSAL", "amount": 700 }),
        json!({ "payment_action_type": "CANCEL", "amount": 700 }),
        json!({ "aid": "A9", "payment_action_type": "CANCEL" }),
        json!("CANCEL"),
    ];
    for odd in odd_entries {
        let mut answer = answer("PART_CANCEL_PAYMENT", &[700]);
        answer["payment_action_details"].as_array_mut().expect("a history").push(odd.clone());
        assert_eq!(read(answer.clone()), Some(700), "the sums are there: {odd}");
        omit(&mut answer, OPTIONAL[0]);
        omit(&mut answer, OPTIONAL[1]);
        assert_eq!(read(answer), None, "{odd}");
    }
    // Points may be entered apart from the method's part: then the entries are no totals.
    let mut answer = answer("PART_CANCEL_PAYMENT", &[700]);
    answer["payment_action_details"][0]["amount"] = json!(TOTAL - 100);
    omit(&mut answer, OPTIONAL[0]);
    omit(&mut answer, OPTIONAL[1]);
    assert_eq!(read(answer), None);
}

#[test]
fn a_payment_that_is_not_paid_has_refunded_nothing() {
    for status in ["READY", "AUTH_PASSWORD", "FAIL_PAYMENT", "QUIT_PAYMENT", "ISSUED_SID"] {
        let mut answer = answer(status, &[]);
        answer["payment_action_details"] = json!([]);
        answer["cancel_available_amount"] = json!({ "total": 0 });
        assert_eq!(read(answer.clone()), Some(0), "{status}");
        omit(&mut answer, OPTIONAL[0]);
        omit(&mut answer, OPTIONAL[1]);
        omit(&mut answer, OPTIONAL[2]);
        assert_eq!(read(answer), Some(0), "{status}");
    }
}
