//! Ordering and paying work without Redis, whether it was never there or goes away in mid-run.
//!
//! The scenario: nobody runs Redis, or its network is cut, refuses or hangs. What saves us is that
//! `pools::RedisHandle` bounds every call and that no answer and no readiness depends on one
//! (`Health::uses_redis`, not `requires`).

use testkit::{ChaosProxy, TestRedis};

use crate::support::{about_to_pay, is_paid_once, world};

/// Nobody listens there.
const NOBODY: &str = "redis://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_never_had_redis_opens_and_sells() {
    let world = world().await.with("REDIS_URL", NOBODY);
    let shop = world.start_shop().await;

    let (shopper, order, page) = about_to_pay(&shop.at).await;
    shopper.approve_on(&page).await.unwrap();

    is_paid_once(&world, &shopper, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_loses_redis_in_any_way_goes_on_selling() {
    let redis = TestRedis::fresh().await;
    let (mut proxy, through) = ChaosProxy::before(&redis.url).await;
    let world = world().await.with("REDIS_URL", through);
    let shop = world.start_shop().await;
    for trouble in ["hang", "cut", "refuse", "none"] {
        match trouble {
            "hang" => proxy.hang().await,
            "cut" => proxy.cut().await,
            "refuse" => proxy.refuse().await,
            _ => proxy.pass().await,
        }

        let (shopper, order, page) = about_to_pay(&shop.at).await;
        shopper.approve_on(&page).await.unwrap();

        is_paid_once(&world, &shopper, &order).await;
    }
}
