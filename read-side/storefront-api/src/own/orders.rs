//! The caller's orders, as they stand: snapshots, payments, refunds, and to whom they go.

use contracts::personal::Sealed;
use contracts::{OrderId, Receiver, UserId, seals};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Own;
use super::rows::{document, korean_time, word};
use crate::api::models::{
    OrderDetail, OrderPage, OrderStatus, OrderSummary, PageInfo, PaymentView, ReceiverView,
};
use crate::catalogue::offset;
use crate::prepared;
use crate::read_error::ReadError;

impl Own {
    /// One page of the user's orders, newest first.
    pub(crate) async fn orders(
        &self,
        user_id: UserId,
        status: Option<OrderStatus>,
        page: u32,
        size: u16,
    ) -> Result<OrderPage, ReadError> {
        let user = user_id.uuid();
        let (status, now) = (status.map(OrderStatus::as_str), self.clock.now());
        let client = self.pool.get().await?;
        let count = client.prepare_cached(include_str!("order_count.sql")).await?;
        let total: i64 = client.query_one(&count, &[&user, &status, &now]).await?.try_get(0)?;
        let (limit, skipped) = (i64::from(size), offset(page, size));
        let rows = if total <= skipped {
            Vec::new()
        } else if status == Some(OrderStatus::Expired.as_str()) {
            let list = include_str!("orders_expired.sql");
            prepared::query(&client, list, &[&user, &limit, &skipped, &now]).await?
        } else if let Some(status) = status {
            let list = include_str!("orders_by_status.sql");
            prepared::query(&client, list, &[&user, &limit, &skipped, &status, &now]).await?
        } else {
            let list = include_str!("orders.sql");
            prepared::query(&client, list, &[&user, &limit, &skipped, &now]).await?
        };
        Ok(OrderPage {
            orders: rows.iter().map(summary).collect::<Result<_, _>>()?,
            page_info: PageInfo::of_page(page, size, total),
        })
    }

    /// One order of the user with its version; `None` when it is nobody's or somebody else's.
    pub(crate) async fn order(
        &self,
        user_id: UserId,
        order_id: Uuid,
    ) -> Result<Option<(OrderDetail, i64)>, ReadError> {
        let Some(row) = self.order_row(user_id, order_id).await? else {
            return Ok(None);
        };
        let OrderSummary { id, number, kind, status, title, placed_at, total, lines, .. } =
            summary(&row)?;
        let order = OrderDetail {
            id,
            number,
            kind,
            status,
            title,
            placed_at,
            expires_at: korean_time(&row, "expires_at")?,
            total,
            vat: row.try_get("vat")?,
            tax_free: row.try_get("tax_free")?,
            paid_total: row.try_get("paid")?,
            refunded_total: row.try_get("refunded")?,
            lines,
            receiver: self.receiver(user_id, &row).await?,
            payments: document(&row, "payments")?,
            refunds: document(&row, "refunds")?,
        };
        Ok(Some((order, row.try_get("version")?)))
    }

    /// The latest payment attempt of the user's order, if there is one, with the order's version;
    /// the outer `None` when the order is nobody's or somebody else's.
    pub(crate) async fn payment(
        &self,
        user_id: UserId,
        order_id: Uuid,
    ) -> Result<Option<(Option<PaymentView>, i64)>, ReadError> {
        let Some(row) = self.order_row(user_id, order_id).await? else {
            return Ok(None);
        };
        let mut attempts: Vec<PaymentView> = document(&row, "payments")?;
        Ok(Some((attempts.pop(), row.try_get("version")?)))
    }

    async fn order_row(&self, user_id: UserId, order_id: Uuid) -> Result<Option<Row>, ReadError> {
        let client = self.pool.get().await?;
        let (owner, now) = (user_id.uuid(), self.clock.now());
        let text = include_str!("order.sql");
        Ok(prepared::query_opt(&client, text, &[&order_id, &owner, &now]).await?)
    }

    /// The receiver in clear, or `None` once the owner's key was destroyed.
    async fn receiver(
        &self,
        user_id: UserId,
        row: &Row,
    ) -> Result<Option<ReceiverView>, ReadError> {
        let sealed: Option<Sealed<Receiver>> = document(row, "receiver")?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let stream = seals::order_stream(OrderId::new(row.try_get("order_id")?));
        let opened = self.vault.open(user_id, &stream, seals::RECEIVER, &sealed).await?;
        Ok(opened.map(|receiver| ReceiverView {
            name: receiver.name.expose().to_owned(),
            phone: receiver.phone.expose().to_owned(),
            zip: receiver.address.zip.expose().to_owned(),
            city: receiver.address.city.expose().to_owned(),
            detail: receiver.address.detail.expose().to_owned(),
        }))
    }
}

fn summary(row: &Row) -> Result<OrderSummary, ReadError> {
    Ok(OrderSummary {
        id: row.try_get("order_id")?,
        number: row.try_get("number")?,
        kind: word(row, "kind")?,
        status: word(row, "status")?,
        title: row.try_get("title")?,
        placed_at: korean_time(row, "placed_at")?,
        total: row.try_get("total")?,
        refunded_total: row.try_get("refunded")?,
        lines: document(row, "lines")?,
    })
}
