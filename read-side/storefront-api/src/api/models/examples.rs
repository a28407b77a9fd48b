//! One example of each answer, as the documentation shows it.

use chrono::{DateTime, FixedOffset};
use poem_openapi::types::Example;
use uuid::Uuid;

use super::catalogue::{CategoryEntry, CategoryList, ItemCard, ItemPage, MainPage, PageInfo};
use super::own::{
    CartLine, CartTotals, CartView, OrderKind, OrderLine, OrderPage, OrderStatus, OrderSummary,
    PaymentStatus, PaymentView, Redirect,
};
use crate::api::cart_routes::CartKind;
use crate::catalogue::CategoryName;

const ITEM: Uuid = Uuid::from_u128(0x018f_3c5e_9a10_5b7a_9c3e_70b1_11fe_a001);
const ORDER: Uuid = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
const NAME: &str = "루테인 골드";

fn noon() -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339("2026-11-23T12:00:00+09:00").unwrap_or_default()
}

impl Example for ItemCard {
    fn example() -> Self {
        Self {
            item_id: ITEM,
            name: NAME.to_owned(),
            enterprise: Some("(주)건강".to_owned()),
            thumbnail_url: None,
            origin_price: 20_000,
            discount_rate: 12.5,
            price: 17_500,
            categories: vec![CategoryName::Eye],
            sales: 120,
            review_count: 0,
            rating: 0.0,
            registered_on: chrono::NaiveDate::from_ymd_opt(2020, 1, 31),
        }
    }
}

impl Example for ItemPage {
    fn example() -> Self {
        Self {
            items: vec![ItemCard::example()],
            page_info: PageInfo::of_page(1, 20, 1),
            next: None,
        }
    }
}

impl Example for MainPage {
    fn example() -> Self {
        let one = || vec![ItemCard::example()];
        Self { by_discount: one(), by_sales: one(), newest: one() }
    }
}

impl Example for CategoryList {
    fn example() -> Self {
        let eye = CategoryEntry {
            name: CategoryName::Eye,
            label: "눈".to_owned(),
            item_count: 2_400,
            on_sale_count: 1_600,
        };
        Self { categories: vec![eye], item_count: 26_000, on_sale_count: 17_300 }
    }
}

impl Example for CartView {
    fn example() -> Self {
        let line = CartLine {
            item_id: ITEM,
            item_name: NAME.to_owned(),
            thumbnail_url: None,
            quantity: 2,
            period_days: None,
            snapshot_price: 18_000,
            origin_price: 20_000,
            current_price: 17_500,
            price_changed: true,
            withdrawn: false,
            line_total: 35_000,
        };
        let totals = CartTotals {
            quantity: 2,
            origin_total: 40_000,
            discount_total: 5_000,
            payable_total: 35_000,
        };
        Self { cart_id: ORDER, kind: CartKind::OneOff, lines: vec![line], totals }
    }
}

impl Example for OrderSummary {
    fn example() -> Self {
        let line = OrderLine {
            line_no: 1,
            item_id: ITEM,
            item_name: NAME.to_owned(),
            origin_price: 20_000,
            discount_rate: 12.5,
            unit_price: 17_500,
            quantity: 2,
            period_days: None,
            line_total: 35_000,
        };
        Self {
            id: ORDER,
            number: "261123-7K2M9QXA".to_owned(),
            kind: OrderKind::OneOff,
            status: OrderStatus::Paid,
            title: NAME.to_owned(),
            placed_at: noon(),
            total: 35_000,
            refunded_total: 0,
            lines: vec![line],
        }
    }
}

impl Example for OrderPage {
    fn example() -> Self {
        Self { orders: vec![OrderSummary::example()], page_info: PageInfo::of_page(1, 20, 1) }
    }
}

impl Example for PaymentView {
    fn example() -> Self {
        let page = |kind: &str| format!("https://online-pay.kakaopay.com/mockup/{kind}/info");
        Self {
            attempt: 1,
            status: PaymentStatus::Ready,
            amount: 35_000,
            requested_at: noon(),
            redirect: Some(Redirect { pc: page("pc"), mobile: page("mobile"), app: page("app") }),
            expires_at: Some(noon() + chrono::TimeDelta::minutes(15)),
            method: None,
            approved_at: None,
            reason: None,
        }
    }
}
