//! The shopper's part: a page with buttons, and a browser that is sent on.

use kakaopay_sim::{Fault, FaultScript, Operation, PayAction, SimConfig, When};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::merchant::{Merchant, ONE_TIME, approve, location, ready, token};

#[tokio::test]
async fn the_page_shows_what_is_bought_and_the_buttons_lead_back() {
    let merchant = Merchant::open().await;
    for (action, target) in [
        ("approve?method=CARD", "https://shop.example/return?order=1&pg_token="),
        ("cancel", "https://shop.example/cancel"),
        ("fail", "https://shop.example/fail"),
    ] {
        let (tid, page) = merchant.ready(ONE_TIME).await;
        let response = merchant.http.get(merchant.url(&page)).send().await.expect("a page");
        assert_eq!(response.status(), 200);
        let html = response.text().await.expect("html");
        assert!(html.contains("red ginseng") && html.contains("2,200원"), "{html}");
        assert!(html.contains(&format!("action=\"{page}/{action}\"")), "{html}");
        let order = merchant.get(&format!("/__sim/orders/{tid}")).await.1;
        assert_eq!(order["status"], "OPEN_PAYMENT");

        let url = merchant.url(&format!("{page}/{action}"));
        let response = merchant.http.post(url).send().await.expect("a redirect");
        let (status, location) = location(&response);
        assert_eq!(status, 302);
        assert!(location.starts_with(target), "{location}");
        let order = merchant.get(&format!("/__sim/orders/{tid}")).await.1;
        let expected = match action {
            "cancel" => "QUIT_PAYMENT",
            "fail" => "FAIL_AUTH_PASSWORD",
            _ => "AUTH_PASSWORD",
        };
        assert_eq!(order["status"], expected);
    }
}

#[tokio::test]
async fn a_card_payment_names_the_card() {
    let merchant = Merchant::open().await;
    let (tid, page) = merchant.ready(ONE_TIME).await;
    let (_, url) = merchant.redirected(&format!("{page}?auto=approve&method=CARD")).await;
    let (_, body) = merchant.call("approve", &approve(ONE_TIME, &tid, &token(&url))).await;
    assert_eq!(body["payment_method_type"], "CARD");
    assert_eq!(body["card_info"]["install_month"], "00");
}

#[tokio::test]
async fn the_method_the_merchant_chose_is_the_only_one() {
    let merchant = Merchant::open().await;
    let mut body = ready(ONE_TIME);
    body["payment_method_type"] = json!("MONEY");
    let (_, answer) = merchant.call("ready", &body).await;
    let page = answer["next_redirect_pc_url"].as_str().expect("a page");
    let html = merchant.http.get(page).send().await.expect("a page").text().await.expect("html");
    assert!(html.contains("method=MONEY") && !html.contains("method=CARD"), "{html}");
}

#[tokio::test]
async fn pressing_again_brings_the_same_token_until_the_shopper_leaves() {
    let merchant = Merchant::open().await;
    let (tid, page) = merchant.ready(ONE_TIME).await;
    let first = merchant.redirected(&format!("{page}?auto=approve")).await;
    let again = merchant.redirected(&format!("{page}?auto=approve")).await;
    assert_eq!(first, again);
    merchant.call("approve", &approve(ONE_TIME, &tid, &token(&first.1))).await;
    assert_eq!(merchant.redirected(&format!("{page}?auto=approve")).await, first);
    assert_eq!(merchant.redirected(&format!("{page}?auto=cancel")).await.0, 409);

    let (_, page) = merchant.ready(ONE_TIME).await;
    merchant.redirected(&format!("{page}?auto=cancel")).await;
    assert_eq!(merchant.redirected(&format!("{page}?auto=approve")).await.0, 409);
    assert_eq!(merchant.redirected(&page).await.0, 200, "the page says it is finished");
}

#[tokio::test]
async fn a_shopper_may_come_back_too_late() {
    let merchant = Merchant::open().await;
    let (tid, page) = merchant.ready(ONE_TIME).await;
    merchant.put("/__sim/clock", &json!({ "advance_seconds": 16 * 60 })).await;
    let (status, url) = merchant.redirected(&format!("{page}?auto=approve")).await;
    assert_eq!(status, 302);
    let (_, body) = merchant.call("approve", &approve(ONE_TIME, &tid, &token(&url))).await;
    assert_eq!(body["error_code"], -723);
}

#[tokio::test]
async fn a_page_can_press_its_own_button() {
    let config = SimConfig { auto_pay: Some(PayAction::Fail), ..SimConfig::default() };
    let merchant = Merchant::with(config).await;
    let (_, page) = merchant.ready(ONE_TIME).await;
    let (status, url) = merchant.redirected(&page).await;
    assert_eq!((status, url.as_str()), (302, "https://shop.example/fail"));
}

#[tokio::test]
async fn unknown_pages_and_buttons_are_not_found() {
    let merchant = Merchant::open().await;
    let (_, page) = merchant.ready(ONE_TIME).await;
    let nobody = format!("/mockup/bridge/pc/pg/one-time/payment/{}", "0".repeat(64));
    assert_eq!(merchant.redirected(&nobody).await.0, 404);
    assert_eq!(merchant.redirected(&format!("{page}?auto=steal")).await.0, 400);
    let response =
        merchant.http.post(merchant.url(&format!("{page}/steal"))).send().await.expect("an answer");
    assert_eq!(response.status(), 404);
}

/// The merchant's page is asked for once by the simulator itself before the browser is sent
/// there, as by a browser that prefetches.
#[tokio::test]
async fn a_duplicate_redirect_asks_for_the_return_address_twice() {
    let shop = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = shop.local_addr().expect("an address");
    let visit = tokio::spawn(async move {
        let (mut connection, _) = shop.accept().await.expect("a visit");
        let mut request = vec![0; 4096];
        let length = connection.read(&mut request).await.expect("a request");
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .expect("answered");
        String::from_utf8_lossy(&request[..length]).into_owned()
    });

    let merchant = Merchant::open().await;
    let mut body = ready(ONE_TIME);
    body["approval_url"] = json!(format!("http://{address}/return"));
    let (_, answer) = merchant.call("ready", &body).await;
    let page = answer["next_redirect_mobile_url"].as_str().expect("a page");
    let page = page.strip_prefix(merchant.sim.base_url()).expect("its own host").to_owned();
    merchant.sim.set_faults(FaultScript::of(
        Operation::PayPage,
        When::Always,
        Fault::DuplicateRedirect,
    ));
    let (status, url) = merchant.redirected(&format!("{page}?auto=approve")).await;
    assert_eq!(status, 302);
    let visited = visit.await.expect("a visit");
    let path = url.strip_prefix(&format!("http://{address}")).expect("the shop");
    assert!(visited.starts_with(&format!("GET {path} HTTP/1.1")), "{visited}");
}
