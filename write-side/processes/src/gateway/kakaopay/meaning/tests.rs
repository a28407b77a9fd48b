//! The table of what every documented refusal means for the relay, written down apart from the code.

use kakaopay::Extras;

use super::*;

fn means(code: i64, method: Option<&str>) -> String {
    let extras = method.map(|method| Extras {
        method_result_code: method.to_owned(),
        method_result_message: None,
    });
    let (code, message) = (ErrorCode(code), String::new());
    match meaning(&ApiError { http_status: 400, code, message, extras }) {
        NoAnswer::Declined(decline) => format!("declined {:?}", decline.class),
        NoAnswer::NotSent(NotSent::Access(_)) => "access".to_owned(),
        NoAnswer::NotSent(NotSent::NotNow(_)) => "not now".to_owned(),
        NoAnswer::NotSent(other) => panic!("{other:?}"),
        NoAnswer::Unknown(_) => "unknown".to_owned(),
    }
}

const CODES: &[(&str, &[i64])] = &[
    ("access", &[-3, -4, -5, -8, -9, -401, -730, -731, -732, -733, -798]),
    ("not now", &[-7, -10, -9798]),
    ("unknown", &[-1, -702, -710, -711, -781, -783, -784, -785]),
    ("declined Expired", &[-723]),
    ("declined Soft", &[-780, -782]),
    ("declined Hard", &[-701, -705, -708, -750, -751, -753, -761]),
    (
        "declined Merchant",
        &[-2, -400, -703, -704, -706, -707, -721, -722, -724, -725, -726, -752, -797, -799],
    ),
];

#[test]
fn every_documented_code_means_one_thing() {
    let mut listed: Vec<i64> = Vec::new();
    for (meaning, codes) in CODES {
        for code in *codes {
            assert_eq!(means(*code, None), *meaning, "{code}");
            listed.push(*code);
        }
    }
    let mut documented: Vec<i64> = ErrorCode::DOCUMENTED.iter().map(|code| code.0).collect();
    documented.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, documented);
    for undocumented in [0, 42, -9_999, i64::MIN] {
        assert_eq!(means(undocumented, None), "unknown", "{undocumented}");
    }
}

/// What the method of payment says about an approval, a cancellation and a recurring charge.
const METHOD_CODES: &[(&str, [&str; 3])] = &[
    (
        "USER_LOCKED BANK_FIRM_API_FAIL BANK_FIRM_UNAVAILABLE UNDER_CONSTRUCTION \
         PAY_ACCOUNT_RESPONSE_ERROR TALK_USER_REQUEST_FAIL TALK_USER_RESPONSE_ERROR 1003 1035 \
         7322 0299 8791",
        // The approval's tid has failed with it; the others may be sent again.
        ["declined Soft", "not now", "not now"],
    ),
    (
        // Undecided, a contradiction, seen twice, or timed out behind KakaoPay: never a decline.
        "BANK_FIRM_UNKNOWN INTERNAL_ERROR INVALID_CANCEL_AMOUNT INVALID_CANCEL_STATUS \
         INVALID_CANCEL_STATUS_DEACTIVE 0000 0010 0590 9085 0504 5530 1027 0024 0025 8507 6666",
        ["unknown"; 3],
    ),
    ("NETWORK_ACL_ERROR CHANNEL_NOT_FOUND", ["access"; 3]),
    ("LACK_BALANCE 8323 0016", ["declined Soft", "unknown", "declined Soft"]),
    ("BANK_ACCOUNT_BLOCKED 8350 0019 INVALID_PAYMENT_KEY", ["declined Hard"; 3]),
    ("ITEM_NOT_FOUND DAILY_CROSSCHECK_INVALID_AUTH_KEY", ["declined Merchant"; 3]),
    // One of the ~1,850 that no table classes.
    ("9ZZZ", ["declined Soft", "unknown", "declined Soft"]),
];

#[test]
fn what_the_method_of_payment_says_depends_on_the_call() {
    for (codes, expected) in METHOD_CODES {
        for code in codes.split_whitespace() {
            let said = [-780, -781, -782].map(|refusal| means(refusal, Some(code)));
            assert_eq!(said, *expected, "{code}");
        }
    }
}

#[test]
fn a_refused_access_is_counted_and_ends_nothing_for_good() {
    let access = NotSent::Access("-401".to_owned());
    assert!(!access.is_free() && !access.is_permanent());
}
