//! Ids: one type per thing, so that an order can never be mistaken for a subscription.
//!
//! Ids that must be derivable (an item from its report number, a cart from its user, a
//! subscription from the order line that opened it) are UUIDv5 under [`NAMESPACE`]: deriving one
//! twice gives the same id, which is what makes a repeated reaction harmless.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text::ReportNo;

/// Root of every derived id. Never changes: ids in the log hang from it.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_21d4_5f0e_4b7a_9c3e_70b1_11fe_a001);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that is already known to name this thing.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The bare UUID, for a query parameter or a derived id.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// A registered person. UUIDv7, given by the edge at sign-up.
    UserId
);
id!(
    /// A product in the catalogue, derived from its report number ([`ItemId::of`]).
    ItemId
);
id!(
    /// A cart, derived from its user and kind ([`CartKey::id`]).
    CartId
);
id!(
    /// An order. UUIDv7, given by the edge when it is placed.
    OrderId
);
id!(
    /// A subscription, derived from the order line that opened it ([`SubscriptionId::of`]).
    SubscriptionId
);
id!(
    /// One refund of an order. UUIDv7 from the edge, or derived for an automatic refund.
    RefundId
);
id!(
    /// The reference to a recurring-payment key (SID) that lies sealed outside the log.
    BillingKeyId
);

impl ItemId {
    /// The id of the item with this report number; always the same one.
    pub fn of(report_no: &ReportNo) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("item/{}", report_no.as_str()).as_bytes()))
    }
}

impl SubscriptionId {
    /// The id of the subscription that line `line_no` (from 1) of `order` opens.
    pub fn of(order: OrderId, line_no: u16) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("subscription/{order}/{line_no}").as_bytes()))
    }
}

impl BillingKeyId {
    /// The id of the recurring key that the first payment of `order` yields.
    pub fn of(order: OrderId) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("billing-key/{order}").as_bytes()))
    }
}

impl RefundId {
    /// The id of the automatic refund of payment attempt `attempt` of `order`; at most one exists.
    pub fn automatic(order: OrderId, attempt: u32) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("refund/{order}/{attempt}").as_bytes()))
    }
}

/// Which of a user's two carts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CartKind {
    /// Lines that are bought once.
    OneOff,
    /// Lines that come again every period.
    Subscription,
}

impl CartKind {
    /// The stored and spoken name: `one_off` or `subscription`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneOff => "one_off",
            Self::Subscription => "subscription",
        }
    }
}

/// Whose cart, and which of the two: everything a cart is addressed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CartKey {
    /// The owner.
    pub user_id: UserId,
    /// Which of the owner's two carts.
    pub kind: CartKind,
}

impl CartKey {
    /// The stream id of this cart. A cart needs no creation: its id always exists.
    pub fn id(self) -> CartId {
        let name = format!("cart/{}/{}", self.user_id, self.kind.as_str());
        CartId(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }
}
