//! What the method of payment behind KakaoPay said, as a class: all codes of KakaoPay money, and
//! the few of the card companies' 1,875 that mean something other than "refused".

use crate::error_codes::ErrorClass;

/// KakaoPay money speaks in words.
const MONEY: &[(&str, ErrorClass)] = &[
    // Another payment of the same account is running.
    ("USER_LOCKED", ErrorClass::Transient),
    ("LACK_BALANCE", ErrorClass::SoftDecline),
    ("NOT_ENOUGH_BALANCE", ErrorClass::SoftDecline),
    ("LIMIT_BALANCE", ErrorClass::SoftDecline),
    ("LIMIT_ONE_TIME", ErrorClass::SoftDecline),
    ("LIMIT_USE_PER_DAY", ErrorClass::SoftDecline),
    ("BANK_ACCOUNT_NOT_FOUND", ErrorClass::UserAction),
    ("BANK_ACCOUNT_BLOCKED", ErrorClass::UserAction),
    ("BANK_NOT_CONNECTED", ErrorClass::UserAction),
    ("BANK_FIRM_API_FAIL", ErrorClass::Transient),
    // A transfer is still undecided, and it may be this one's.
    ("BANK_FIRM_UNKNOWN", ErrorClass::LookUp),
    // The banks' nightly pause, 23:30 to 00:35 in Korea.
    ("BANK_FIRM_UNAVAILABLE", ErrorClass::TransientLong),
    ("UNDER_CONSTRUCTION", ErrorClass::Transient),
    // Unspecified, hence not to be trusted as a no.
    ("INTERNAL_ERROR", ErrorClass::LookUp),
    ("PAY_ACCOUNT_RESPONSE_ERROR", ErrorClass::Transient),
    ("TALK_USER_REQUEST_FAIL", ErrorClass::Transient),
    ("TALK_USER_RESPONSE_ERROR", ErrorClass::Transient),
    ("PAY_USER_NOT_FOUND", ErrorClass::UserAction),
    ("USER_NOT_FOUND", ErrorClass::UserAction),
    ("DEACTIVATED_USER_STATUS", ErrorClass::UserAction),
    ("USER_DUPLICATION", ErrorClass::UserAction),
    ("INVALID_PAYMENT_KEY", ErrorClass::RegisterAgain),
    ("PAYMENT_KEY_EXISTS", ErrorClass::Bug),
    ("INVALID_CANCEL_AMOUNT", ErrorClass::LookUp),
    ("INVALID_CANCEL_STATUS", ErrorClass::LookUp),
    ("INVALID_CANCEL_STATUS_DEACTIVE", ErrorClass::LookUp),
    ("NETWORK_ACL_ERROR", ErrorClass::Access),
    ("CHANNEL_NOT_FOUND", ErrorClass::Access),
    ("ITEM_NOT_FOUND", ErrorClass::Merchant),
    ("DAILY_CROSSCHECK_INVALID_AUTH_KEY", ErrorClass::Merchant),
];

/// Card companies speak in four characters.
const CARD: &[(&str, ErrorClass)] = &[
    // "Approved" inside a refusal contradicts itself.
    ("0000", ErrorClass::LookUp),
    // Balance too low, on the card or at the bank.
    ("8323", ErrorClass::SoftDecline),
    ("5039", ErrorClass::SoftDecline),
    ("7983", ErrorClass::SoftDecline),
    ("8546", ErrorClass::SoftDecline),
    // Limit exceeded.
    ("8521", ErrorClass::SoftDecline),
    ("8326", ErrorClass::SoftDecline),
    ("5200", ErrorClass::SoftDecline),
    ("0016", ErrorClass::SoftDecline),
    // Expired.
    ("8314", ErrorClass::UserAction),
    ("5005", ErrorClass::UserAction),
    ("0004", ErrorClass::UserAction),
    // Lost or stolen.
    ("8350", ErrorClass::UserAction),
    ("5009", ErrorClass::UserAction),
    ("0026", ErrorClass::UserAction),
    // Suspended.
    ("8324", ErrorClass::UserAction),
    ("8515", ErrorClass::UserAction),
    // Wrong number.
    ("8037", ErrorClass::UserAction),
    ("0014", ErrorClass::UserAction),
    // Wrong password.
    ("0019", ErrorClass::UserAction),
    ("5007", ErrorClass::UserAction),
    // Cancelled already, no original, cannot be cancelled.
    ("0025", ErrorClass::LookUp),
    ("8507", ErrorClass::LookUp),
    ("0024", ErrorClass::LookUp),
    ("6666", ErrorClass::LookUp),
    // Seen twice.
    ("0504", ErrorClass::LookUp),
    ("5530", ErrorClass::LookUp),
    ("1027", ErrorClass::LookUp),
    // Timed out between KakaoPay and the card company: not certainly a no.
    ("0010", ErrorClass::LookUp),
    ("0590", ErrorClass::LookUp),
    ("9085", ErrorClass::LookUp),
    // Try again.
    ("1003", ErrorClass::Transient),
    ("1035", ErrorClass::Transient),
    ("7322", ErrorClass::Transient),
    // Maintenance at the issuer or the bank.
    ("0299", ErrorClass::TransientLong),
    ("8791", ErrorClass::TransientLong),
];

/// The class of a documented code; `None` otherwise.
pub(crate) fn class_of(code: &str) -> Option<ErrorClass> {
    MONEY.iter().chain(CARD).find(|(known, _)| *known == code).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_codes::ErrorCode;

    /// The documentation's list by its own grouping, written down apart from the tables above.
    const DOCUMENTED: &[(&str, ErrorClass)] = &[
        (
            "USER_LOCKED BANK_FIRM_API_FAIL UNDER_CONSTRUCTION PAY_ACCOUNT_RESPONSE_ERROR \
             TALK_USER_REQUEST_FAIL TALK_USER_RESPONSE_ERROR 1003 1035 7322",
            ErrorClass::Transient,
        ),
        ("BANK_FIRM_UNAVAILABLE 0299 8791", ErrorClass::TransientLong),
        (
            "LACK_BALANCE NOT_ENOUGH_BALANCE LIMIT_BALANCE LIMIT_ONE_TIME LIMIT_USE_PER_DAY \
             8323 5039 7983 8546 8521 8326 5200 0016",
            ErrorClass::SoftDecline,
        ),
        (
            "BANK_ACCOUNT_NOT_FOUND BANK_ACCOUNT_BLOCKED BANK_NOT_CONNECTED PAY_USER_NOT_FOUND \
             USER_NOT_FOUND DEACTIVATED_USER_STATUS USER_DUPLICATION 8314 5005 0004 8350 5009 \
             0026 8324 8515 8037 0014 0019 5007",
            ErrorClass::UserAction,
        ),
        ("INVALID_PAYMENT_KEY", ErrorClass::RegisterAgain),
        ("PAYMENT_KEY_EXISTS", ErrorClass::Bug),
        (
            "BANK_FIRM_UNKNOWN INTERNAL_ERROR INVALID_CANCEL_AMOUNT INVALID_CANCEL_STATUS \
             INVALID_CANCEL_STATUS_DEACTIVE 0000 0025 8507 0024 6666 0504 5530 1027 0010 0590 9085",
            ErrorClass::LookUp,
        ),
        ("NETWORK_ACL_ERROR CHANNEL_NOT_FOUND", ErrorClass::Access),
        ("ITEM_NOT_FOUND DAILY_CROSSCHECK_INVALID_AUTH_KEY", ErrorClass::Merchant),
    ];

    #[test]
    fn every_documented_method_code_has_its_class() {
        let mut count = 0;
        for (codes, class) in DOCUMENTED {
            for code in codes.split_whitespace() {
                count += 1;
                for refusal in [ErrorCode::APPROVE_FAILED, ErrorCode::SUBSCRIPTION_FAILED] {
                    assert_eq!(ErrorClass::of(refusal, Some(code)), *class, "{refusal} {code}");
                }
            }
        }
        assert_eq!(count, MONEY.len() + CARD.len());
        assert_eq!(MONEY.len(), 30, "the vendor's sheet lists thirty");
    }
}
