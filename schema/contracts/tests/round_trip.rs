//! `decode(encode(e)) = e` for every event of every aggregate, whatever its fields hold.

#![expect(clippy::unwrap_used, reason = "a test panics when what it builds is wrong")]

use chrono::{DateTime, NaiveDate, Utc};
use contracts::events::{
    AbandonReason, ApprovedAmount, CancelledBy, CartEvent, DeclineClass, DifferenceKind,
    GatewayStep, ItemDetails, ItemEvent, OrderEvent, OrderKind, OrderLine, PaymentMethod,
    RedirectUrls, ReturnedAs, Role, SubscriptionCancelledBy, SubscriptionEvent, UserEvent,
};
use contracts::{
    BillingKeyId, CartKey, CartKind, Category, DiscountRate, EventBody, ItemId, OrderId,
    OrderNumber, Period, Quantity, RefundId, ReportNo, Sealed, Text, UserId, Won, decode,
};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

fn round_trips<E: EventBody>(event: &E) {
    let stored = event.encode().unwrap();
    let again: E = decode(event.event_type(), &event.event_version().to_string(), stored).unwrap();
    assert_eq!(&again, event);
}

fn id<T: std::fmt::Debug>(wrap: fn(Uuid) -> T) -> impl Strategy<Value = T> {
    any::<u128>().prop_map(move |bits| wrap(Uuid::from_u128(bits)))
}

fn text<const MAX: usize>() -> impl Strategy<Value = Text<MAX>> {
    "[가-힣a-z①\\[\\]\"\\\\\n\t ]{0,20}[가-힣]".prop_map(|raw| Text::parse(&raw).unwrap())
}

fn won() -> impl Strategy<Value = Won> {
    (0..=i64::MAX).prop_map(|amount| Won::try_from(amount).unwrap())
}

fn quantity() -> impl Strategy<Value = Quantity> {
    (1_i64..=99).prop_map(|count| Quantity::try_from(count).unwrap())
}

fn period() -> impl Strategy<Value = Period> {
    select(vec![30_i64, 60, 90, 120]).prop_map(|days| Period::try_from(days).unwrap())
}

fn rate() -> impl Strategy<Value = DiscountRate> {
    (0_u16..=1000).prop_map(|tenths| DiscountRate::try_from(tenths).unwrap())
}

/// Microseconds, as the database keeps them.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..4_000_000_000_000_000)
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn date() -> impl Strategy<Value = NaiveDate> {
    (0_i32..40_000).prop_map(|days| NaiveDate::from_num_days_from_ce_opt(720_000 + days).unwrap())
}

fn sealed<T: std::fmt::Debug>() -> impl Strategy<Value = Sealed<T>> {
    (1_u16.., "[A-Za-z0-9+/]{32}", "[A-Za-z0-9+/]{1,60}")
        .prop_map(|(version, nonce, text)| Sealed::from_parts(version, nonce, text))
}

fn categories() -> impl Strategy<Value = std::collections::BTreeSet<Category>> {
    btree_set(select(Category::ALL.to_vec()), 1..4)
}

fn cart() -> impl Strategy<Value = CartKey> {
    (id(UserId::new), select(vec![CartKind::OneOff, CartKind::Subscription]))
        .prop_map(|(user_id, kind)| CartKey { user_id, kind })
}

fn details() -> impl Strategy<Value = ItemDetails> {
    let long = || option::of(text::<4000>());
    let first = (text(), option::of(text()), option::of(date()), long(), long());
    let second = (long(), long(), long(), long(), long());
    (first, second, option::of(text()), option::of(text())).prop_map(
        |(
            (product_name, enterprise, registered_on, expiration, appearance),
            (serving_use, storage, intake_hint, main_function, base_standard),
            thumbnail_url,
            description_image_url,
        )| ItemDetails {
            product_name,
            enterprise,
            registered_on,
            expiration,
            appearance,
            serving_use,
            storage,
            intake_hint,
            main_function,
            base_standard,
            thumbnail_url,
            description_image_url,
        },
    )
}

fn item_event() -> impl Strategy<Value = ItemEvent> {
    let report_no = "[0-9]{12,15}".prop_map(|digits| ReportNo::try_from(digits).unwrap());
    prop_oneof![
        (report_no, details(), won(), rate(), categories()).prop_map(
            |(report_no, details, origin_price, discount_rate, categories)| {
                ItemEvent::Registered {
                    report_no,
                    details,
                    origin_price,
                    discount_rate,
                    categories,
                }
            }
        ),
        details().prop_map(|details| ItemEvent::DetailsChanged { details }),
        won().prop_map(|origin_price| ItemEvent::Repriced { origin_price }),
        rate().prop_map(|discount_rate| ItemEvent::DiscountChanged { discount_rate }),
        categories().prop_map(|categories| ItemEvent::Recategorised { categories }),
        option::of(text()).prop_map(|reason| ItemEvent::Withdrawn { reason }),
        Just(ItemEvent::Relisted {}),
    ]
}

fn cart_event() -> impl Strategy<Value = CartEvent> {
    let item = || id(ItemId::new);
    let order = || option::of(id(OrderId::new));
    prop_oneof![
        (cart(), item(), text(), quantity(), quantity(), option::of(period()), won()).prop_map(
            |(cart, item_id, item_name, requested, quantity, period, unit_price)| {
                CartEvent::ItemAdded {
                    cart,
                    item_id,
                    item_name,
                    requested,
                    quantity,
                    period,
                    unit_price,
                }
            }
        ),
        (cart(), item(), quantity(), order()).prop_map(|(cart, item_id, quantity, bought_in)| {
            CartEvent::QuantityChanged { cart, item_id, quantity, bought_in }
        }),
        (cart(), item(), period()).prop_map(|(cart, item_id, period)| CartEvent::PeriodChanged {
            cart,
            item_id,
            period
        }),
        (cart(), item(), order()).prop_map(|(cart, item_id, bought_in)| CartEvent::ItemRemoved {
            cart,
            item_id,
            bought_in
        }),
        (cart(), id(OrderId::new))
            .prop_map(|(cart, order_id)| CartEvent::OrderBought { cart, order_id }),
        cart().prop_map(|cart| CartEvent::Cleared { cart }),
    ]
}

fn line() -> impl Strategy<Value = OrderLine> {
    let prices = (won(), rate(), won());
    (1_u16.., id(ItemId::new), text(), prices, quantity(), option::of(period())).prop_map(
        |(line_no, item_id, item_name, prices, quantity, period)| OrderLine {
            line_no,
            item_id,
            item_name,
            origin_price: prices.0,
            discount_rate: prices.1,
            unit_price: prices.2,
            quantity,
            period,
        },
    )
}

fn placed() -> impl Strategy<Value = OrderEvent> {
    let kind = select(vec![OrderKind::OneOff, OrderKind::Subscription]);
    let who = (id(OrderId::new), id(UserId::new), kind, any::<bool>());
    (who, vec(line(), 0..5), (won(), won(), won()), sealed(), date(), (instant(), instant()))
        .prop_map(|(who, lines, amounts, receiver, day, times)| OrderEvent::Placed {
            order_id: who.0,
            number: OrderNumber::derive(day, who.0.uuid()),
            user_id: who.1,
            kind: who.2,
            from_cart: who.3,
            lines,
            total: amounts.0,
            tax_free: amounts.1,
            vat: amounts.2,
            receiver,
            placed_at: times.0,
            expires_at: times.1,
        })
}

fn step() -> impl Strategy<Value = GatewayStep> {
    select(vec![GatewayStep::Ready, GatewayStep::Approve, GatewayStep::Cancel])
}

fn class() -> impl Strategy<Value = DeclineClass> {
    select(vec![
        DeclineClass::Soft,
        DeclineClass::Hard,
        DeclineClass::Expired,
        DeclineClass::Merchant,
        DeclineClass::Mismatch,
    ])
}

fn by() -> impl Strategy<Value = CancelledBy> {
    select(vec![CancelledBy::User, CancelledBy::Admin, CancelledBy::System])
}

fn payment_opened() -> impl Strategy<Value = OrderEvent> {
    let returned_as = prop_oneof![
        (sealed(), option::of(text())).prop_map(|(pg_token, token_mark)| {
            ReturnedAs::Authenticated { pg_token, token_mark }
        }),
        Just(ReturnedAs::Cancelled),
        Just(ReturnedAs::Failed),
    ];
    let amounts = (won(), won(), won());
    prop_oneof![
        (any::<u32>(), text(), text(), any::<u32>(), amounts, any::<bool>(), instant()).prop_map(
            |(attempt, partner_order_id, item_name, quantity, amounts, recurring, at)| {
                OrderEvent::PaymentRequested {
                    attempt,
                    partner_order_id,
                    item_name,
                    quantity,
                    amount: amounts.0,
                    tax_free: amounts.1,
                    vat: amounts.2,
                    recurring,
                    requested_at: at,
                }
            }
        ),
        (
            any::<u32>(),
            text(),
            (text(), text(), text()),
            (instant(), instant()),
            option::of(text())
        )
            .prop_map(|(attempt, tid, (pc, mobile, app), (ready_at, expires_at), cid)| {
                OrderEvent::PaymentReady {
                    attempt,
                    tid,
                    redirect: RedirectUrls { pc, mobile, app },
                    ready_at,
                    expires_at,
                    cid,
                }
            }),
        (any::<u32>(), returned_as, instant()).prop_map(|(attempt, returned_as, returned_at)| {
            OrderEvent::PaymentReturned { attempt, returned_as, returned_at }
        }),
        (any::<u32>(), text(), sealed(), instant()).prop_map(
            |(attempt, tid, pg_token, requested_at)| OrderEvent::PaymentApprovalRequested {
                attempt,
                tid,
                pg_token,
                requested_at,
            }
        ),
    ]
}

fn payment_ended() -> impl Strategy<Value = OrderEvent> {
    let method = select(vec![PaymentMethod::Card, PaymentMethod::Money, PaymentMethod::Other]);
    let reason = select(vec![
        AbandonReason::CancelledByShopper,
        AbandonReason::FailedOnPage,
        AbandonReason::NotSent,
        AbandonReason::Expired,
        AbandonReason::OrderCancelled,
    ]);
    let amount =
        (won(), won(), won(), won(), won()).prop_map(|(total, tax_free, vat, point, discount)| {
            ApprovedAmount { total, tax_free, vat, point, discount }
        });
    let key = option::of(id(BillingKeyId::new));
    prop_oneof![
        (any::<u32>(), text(), text(), amount, method, instant(), key).prop_map(
            |(attempt, tid, aid, amount, method, approved_at, billing_key)| {
                OrderEvent::PaymentApproved {
                    attempt,
                    tid,
                    aid,
                    amount,
                    method,
                    approved_at,
                    billing_key,
                }
            }
        ),
        (any::<u32>(), step(), class(), text(), instant()).prop_map(
            |(attempt, step, class, code, declined_at)| OrderEvent::PaymentDeclined {
                attempt,
                step,
                class,
                code,
                declined_at,
            }
        ),
        (any::<u32>(), step(), text(), instant(), option::of(id(RefundId::new))).prop_map(
            |(attempt, step, reason, unresolved_at, refund_id)| OrderEvent::PaymentUnresolved {
                attempt,
                step,
                reason,
                unresolved_at,
                refund_id,
            }
        ),
        (any::<u32>(), text(), instant()).prop_map(|(attempt, code, refused_at)| {
            OrderEvent::PaymentTokenRefused { attempt, code, refused_at }
        }),
        (any::<u32>(), reason, instant()).prop_map(|(attempt, reason, abandoned_at)| {
            OrderEvent::PaymentAbandoned { attempt, reason, abandoned_at }
        }),
    ]
}

fn compared() -> impl Strategy<Value = OrderEvent> {
    let kind = || select(DifferenceKind::ALL.to_vec());
    prop_oneof![
        (any::<u32>(), kind(), text(), text(), instant()).prop_map(
            |(attempt, kind, ours, theirs, found_at)| OrderEvent::PaymentDifferenceFound {
                attempt,
                kind,
                ours,
                theirs,
                found_at,
            }
        ),
        (any::<u32>(), kind(), instant()).prop_map(|(attempt, kind, settled_at)| {
            OrderEvent::PaymentDifferenceSettled { attempt, kind, settled_at }
        }),
    ]
}

fn order_ended() -> impl Strategy<Value = OrderEvent> {
    let refund = || id(RefundId::new);
    prop_oneof![
        instant().prop_map(|expired_at| OrderEvent::Expired { expired_at }),
        (by(), option::of(text()), instant()).prop_map(|(by, reason, cancelled_at)| {
            OrderEvent::Cancelled { by, reason, cancelled_at }
        }),
        (
            refund(),
            any::<u32>(),
            text(),
            (won(), won(), won()),
            by(),
            option::of(text()),
            instant()
        )
            .prop_map(|(refund_id, attempt, tid, amounts, by, reason, requested_at)| {
                OrderEvent::RefundRequested {
                    refund_id,
                    attempt,
                    tid,
                    amount: amounts.0,
                    tax_free: amounts.1,
                    refundable_before: amounts.2,
                    by,
                    reason,
                    requested_at,
                }
            }),
        (refund(), option::of(text()), won(), instant()).prop_map(
            |(refund_id, aid, amount, refunded_at)| OrderEvent::RefundSucceeded {
                refund_id,
                aid,
                amount,
                refunded_at,
            }
        ),
        (refund(), class(), text(), instant()).prop_map(|(refund_id, class, code, failed_at)| {
            OrderEvent::RefundFailed { refund_id, class, code, failed_at }
        }),
        sealed().prop_map(|receiver| OrderEvent::ReceiverChanged { receiver }),
    ]
}

fn subscription_event() -> impl Strategy<Value = SubscriptionEvent> {
    let line = (id(UserId::new), id(OrderId::new), 1_u16.., id(ItemId::new), text());
    let terms = (quantity(), won(), period(), sealed(), id(BillingKeyId::new));
    let opened = (line, terms, (date(), date()), instant(), any::<bool>());
    let opened =
        opened.prop_map(|(line, terms, days, opened_at, key_missing)| SubscriptionEvent::Opened {
            user_id: line.0,
            order_id: line.1,
            line_no: line.2,
            item_id: line.3,
            item_name: line.4,
            quantity: terms.0,
            unit_price: terms.1,
            period: terms.2,
            receiver: terms.3,
            billing_key: terms.4,
            paid_on: days.0,
            next_due_on: days.1,
            opened_at,
            key_missing,
        });
    let by = select(SubscriptionCancelledBy::ALL.to_vec());
    let ended = (by, option::of(text()), instant());
    prop_oneof![
        opened,
        ended.prop_map(|(by, reason, cancelled_at)| SubscriptionEvent::Cancelled {
            by,
            reason,
            cancelled_at
        }),
    ]
}

fn user_event() -> impl Strategy<Value = UserEvent> {
    let digest = || "[0-9a-f]{64}";
    let phone = option::of((sealed(), digest()));
    let role = select(vec![Role::User, Role::Admin]);
    (id(UserId::new), (sealed(), digest()), (sealed(), digest()), phone, role, instant()).prop_map(
        |(user_id, email, display_name, phone, role, registered_at)| {
            let (phone, phone_digest) = phone.unzip();
            UserEvent::Registered {
                user_id,
                email: email.0,
                email_digest: email.1,
                display_name: display_name.0,
                display_name_digest: display_name.1,
                phone,
                phone_digest,
                role,
                registered_at,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_item_event_survives_being_stored(event in item_event()) {
        round_trips(&event);
    }

    #[test]
    fn a_cart_event_survives_being_stored(event in cart_event()) {
        round_trips(&event);
    }

    #[test]
    fn an_order_event_survives_being_stored(
        event in prop_oneof![
            placed(),
            payment_opened(),
            payment_ended(),
            compared(),
            order_ended(),
        ],
    ) {
        round_trips(&event);
    }

    #[test]
    fn a_subscription_event_survives_being_stored(event in subscription_event()) {
        round_trips(&event);
    }

    #[test]
    fn a_user_event_survives_being_stored(event in user_event()) {
        round_trips(&event);
    }
}

/// The name stands in tables and metrics, the event in the log: one word for one thing.
#[test]
fn a_kind_of_difference_has_one_name() {
    for kind in DifferenceKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
}
