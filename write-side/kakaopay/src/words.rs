//! The words KakaoPay answers with. A word this client does not know is kept as it came: a new
//! status must not turn an answer about money into an unknown outcome.

use serde::{Deserialize, Serialize};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value this client does not know, as it came.
            Other(String),
        }

        impl $name {
            /// The value as KakaoPay writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)*
                    _ => Self::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }
    };
}

wire_enum!(
    /// How the shopper paid.
    PaymentMethod {
        /// A card.
        Card = "CARD",
        /// KakaoPay money, a balance with a bank account behind it.
        Money = "MONEY",
    }
);

wire_enum!(
    /// Where a payment stands. There is no value for "expired": such a payment stays pending.
    OrderStatus {
        /// Opened.
        Ready = "READY",
        /// The pay message went out over KakaoTalk.
        SendTms = "SEND_TMS",
        /// The shopper opened the pay page.
        OpenPayment = "OPEN_PAYMENT",
        /// The shopper chose a method.
        SelectMethod = "SELECT_METHOD",
        /// Authentication by telephone is running.
        ArsWaiting = "ARS_WAITING",
        /// The password was accepted: an approval is possible.
        AuthPassword = "AUTH_PASSWORD",
        /// A recurring key was issued without a payment.
        IssuedSid = "ISSUED_SID",
        /// Paid.
        SuccessPayment = "SUCCESS_PAYMENT",
        /// Part of it was given back.
        PartCancelPayment = "PART_CANCEL_PAYMENT",
        /// All of it was given back, at once or in parts.
        CancelPayment = "CANCEL_PAYMENT",
        /// The password was wrong.
        FailAuthPassword = "FAIL_AUTH_PASSWORD",
        /// The shopper gave up.
        QuitPayment = "QUIT_PAYMENT",
        /// The approval was refused.
        FailPayment = "FAIL_PAYMENT",
    }
);

impl OrderStatus {
    /// No money has moved and some still may.
    pub const fn is_pending(&self) -> bool {
        matches!(
            self,
            Self::Ready
                | Self::SendTms
                | Self::OpenPayment
                | Self::SelectMethod
                | Self::ArsWaiting
                | Self::AuthPassword
        )
    }

    /// Money moved; part or all of it may have been given back since.
    pub const fn was_paid(&self) -> bool {
        matches!(self, Self::SuccessPayment | Self::PartCancelPayment | Self::CancelPayment)
    }

    /// No money has moved and none will.
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::FailAuthPassword | Self::QuitPayment | Self::FailPayment)
    }
}

wire_enum!(
    /// What an entry of a payment's history did.
    ActionType {
        /// Money was taken.
        Payment = "PAYMENT",
        /// Money was given back.
        Cancel = "CANCEL",
        /// A recurring key was issued without a payment.
        IssuedSid = "ISSUED_SID",
    }
);

wire_enum!(
    /// Whether a recurring key still works.
    SidState {
        /// It can be charged.
        Active = "ACTIVE",
        /// It was ended, by us or by the shopper.
        Inactive = "INACTIVE",
    }
);
