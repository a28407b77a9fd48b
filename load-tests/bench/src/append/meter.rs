//! An aggregate that records two events for every command, about as large as a cart's.

use contracts::EventBody;
use domain::{EventSourced, Refusal, RefusalKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a meter's history consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MeterEvent {
    #[serde(rename = "MeterItemAdded")]
    ItemAdded { user_id: Uuid, item_id: Uuid, item_name: String, quantity: u32, unit_price: i64 },
    #[serde(rename = "MeterQuantityChanged")]
    QuantityChanged { user_id: Uuid, item_id: Uuid, quantity: u32 },
}

impl EventBody for MeterEvent {
    const AGGREGATE_TYPE: &'static str = "meter";
    const TYPES: &'static [(&'static str, u16)] =
        &[("MeterItemAdded", 1), ("MeterQuantityChanged", 1)];

    fn event_type(&self) -> &'static str {
        match self {
            Self::ItemAdded { .. } => "MeterItemAdded",
            Self::QuantityChanged { .. } => "MeterQuantityChanged",
        }
    }
}

/// Add this many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Add(pub(super) u32);

/// A meter refuses nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("never")]
pub(super) struct Never;

impl Refusal for Never {
    fn code(&self) -> &'static str {
        "meter.never"
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::Rule
    }
}

/// How many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meter {
    pub(super) quantity: u32,
}

impl EventSourced for Meter {
    type Body = MeterEvent;
    type Order = Add;
    type Refused = Never;

    fn decide(&self, command: Add) -> Result<Vec<MeterEvent>, Never> {
        let (user_id, item_id) = (Uuid::from_u128(1 << 100), Uuid::from_u128(2 << 100));
        let quantity = self.quantity + command.0;
        let item_name = "Vitamin C 1000 mg, 90 tablets".to_owned();
        Ok(vec![
            MeterEvent::ItemAdded { user_id, item_id, item_name, quantity, unit_price: 12_900 },
            MeterEvent::QuantityChanged { user_id, item_id, quantity },
        ])
    }

    fn evolve(&mut self, event: &MeterEvent) {
        match event {
            MeterEvent::ItemAdded { quantity, .. }
            | MeterEvent::QuantityChanged { quantity, .. } => {
                self.quantity = *quantity;
            }
        }
    }
}

domain::aggregate!(Meter, MeterEvent, Add, Never);
