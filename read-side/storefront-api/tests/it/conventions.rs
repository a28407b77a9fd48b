//! The manners every answer has: tags, caching, compression, problems, and no 500 for nonsense.

use std::io::Read;
use std::time::Duration;

use contracts::Position;
use testkit::eventually;

use crate::app::{TestApp, somebody};

const CATALOGUE: [&str; 4] =
    ["/api/items", "/api/items/main", "/api/categories", "/api/items?category=EYE&page=7"];

async fn shop() -> TestApp {
    let app = TestApp::start().await;
    app.execute(&include_str!("items.sql").replace("{count}", "100")).await;
    app
}

#[tokio::test]
async fn whoever_has_the_body_already_gets_304() {
    let app = shop().await;
    for path in CATALOGUE {
        let first = app.get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        // A price at most a second old, also at a shared cache, unless we are out of reach.
        let kept = "public, max-age=0, s-maxage=1, stale-if-error=60";
        assert_eq!(first.header("cache-control"), kept, "{path}");

        let again = app.get_with(path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag, "{path}");

        let other = app.get_with(path, &[("if-none-match", "W/\"0000000000000000\"")]).await;
        assert_eq!(other.body, first.body, "{path}");
    }
}

/// nginx sends HEAD here, too.
#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let app = shop().await;
    let get = app.get("/api/items").await;
    let head = app.head("/api/items").await;
    assert_eq!((head.status, head.body.len()), (get.status, 0));
    assert_eq!(head.header("etag"), get.header("etag"));
}

#[tokio::test]
async fn gzip_is_sent_to_those_who_take_it_and_opens_to_the_same_body() {
    let app = shop().await;
    let plain = app.get("/api/items").await;
    assert_eq!(plain.header("content-encoding"), "");
    let packed = app.get_with("/api/items", &[("accept-encoding", "br;q=0.1, gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("vary"), "Accept-Encoding");
    assert!(packed.body.len() < plain.body.len());
    let mut opened = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut opened).unwrap();
    assert_eq!(opened, plain.body);
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_security_headers() {
    let app = shop().await;
    for path in ["/api/items", "/api/items/nonsense", "/api/orders", "/nowhere"] {
        let answer = app.get_with(path, &[("x-request-id", "shopper-7")]).await;
        assert_eq!(answer.header("x-request-id"), "shopper-7", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.header("content-security-policy").is_empty(), "{path}");
    }
    app.get("/nowhere").await.problem(404);
}

#[tokio::test]
async fn what_is_ones_own_needs_a_token_and_is_kept_by_nobody_else() {
    let app = shop().await;
    let own = [
        "/api/carts/one-off",
        "/api/carts/subscription",
        "/api/orders",
        "/api/orders/018f0000-0000-7000-8000-000000000000",
        "/api/orders/018f0000-0000-7000-8000-000000000000/payment",
    ];
    for path in own {
        let anonymous = app.get(path).await;
        assert_eq!(anonymous.problem(401)["code"], "auth.token_missing", "{path}");
        assert!(anonymous.header("www-authenticate").starts_with("Bearer"), "{path}");
        let forged = app.get_with(path, &[("authorization", "Bearer a.b.c")]).await;
        assert_eq!(forged.problem(401)["code"], "auth.token_invalid", "{path}");
    }
    let mine = app.get_as(somebody(), "/api/carts/one-off").await;
    assert!(mine.header("cache-control").starts_with("private"));
}

/// Pitfalls E1, E19, E20, E23: nonsense is told from faults, and told by name.
#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let app = shop().await;
    for (query, field) in [
        ("category=NOSE", "category"),
        ("category=eye", "category"),
        ("category=", "category"),
        ("category=EYE'--", "category"),
        ("sort=FASTEST", "sort"),
        ("sort=", "sort"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=4294967296", "page"),
        ("page=4294967295", "page"),
        ("page=501", "page"),
        ("page=101&size=100", "page"),
        ("page=1e3", "page"),
        ("page=%00", "page"),
        ("size=0", "size"),
        ("size=101", "size"),
        ("size=65536", "size"),
        ("size=many", "size"),
        ("onSale=perhaps", "onSale"),
        ("minPrice=-1", "minPrice"),
        ("maxPrice=-9223372036854775808", "maxPrice"),
        ("minPrice=9223372036854775808", "minPrice"),
        ("minPrice=2&maxPrice=1", "minPrice"),
        ("minPrice=1.5", "minPrice"),
        ("keyword=", "keyword"),
        ("keyword=%20%09", "keyword"),
        ("keyword=a%00b", "keyword"),
        ("brand=%0A", "brand"),
        ("cursor=", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%F0%9F%92%A9", "cursor"),
        ("cursor=AAAA&page=2", "cursor"),
    ] {
        let answer = app.get(&format!("/api/items?{query}")).await;
        let problem = answer.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], field, "{query}: {problem}");
    }
    let long = "x".repeat(51);
    app.get(&format!("/api/items?keyword={long}")).await.problem(400);
    app.get(&format!("/api/items?brand={}", "x".repeat(10_000))).await.problem(400);
}

/// `?onsale=true` showed everything.
#[tokio::test]
async fn every_operation_refuses_a_parameter_that_it_does_not_know() {
    let app = shop().await;
    let bearer = app.bearer(somebody());
    let document = app.get("/openapi.json").await.json();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let operation = &methods["get"];
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let known: Vec<_> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let path = path.replace("{kind}", "one-off");
        let path = ["{item_id}", "{order_id}"]
            .iter()
            .fold(path, |path, name| path.replace(name, "018f0000-0000-7000-8000-000000000000"));
        for query in ["nonsense=1", "size=1&nonsense=1", "nonsense", "NONSENSE=%00&=1"] {
            let address = format!("{path}?{query}");
            let answer = app.get_with(&address, &[("authorization", &bearer)]).await;
            let problem = answer.problem(400);
            assert_eq!(problem["code"], "request.unknown_parameter", "{address}");
            for error in problem["errors"].as_array().unwrap() {
                assert_eq!(error["code"], "parameter.unknown", "{address}");
                let name = error["pointer"].as_str().unwrap();
                assert!(query.contains(name) && !known.contains(&name), "{address}: {name}");
                let detail = error["detail"].as_str().unwrap();
                assert!(known.iter().all(|name| detail.contains(name)), "{address}: {detail}");
            }
        }
        if operation["security"].is_array() {
            app.get(&format!("{path}?nonsense=1")).await.problem(401);
        }
        asked += 1;
    }
    assert_eq!(asked, 8);
    // Names are compared as they are, and what is known and what is no operation stays as it was.
    let problem = app.get("/api/items?onsale=true&Page=1").await.problem(400);
    assert_eq!(problem["errors"][0]["pointer"], "Page");
    assert_eq!(problem["errors"][1]["pointer"], "onsale");
    app.get("/api/items?onSale=true&&page=1&").await.json();
    app.get("/api/nowhere?nonsense=1").await.problem(404);
    assert!(app.get("/openapi.json?nonsense=1").await.status.is_success());
    assert_eq!(app.head("/api/items?nonsense=1").await.status.as_u16(), 400);
}

#[tokio::test]
async fn no_input_is_a_fault_of_ours() {
    let app = shop().await;
    let user = somebody();
    let id = "018f0000-0000-7000-8000-000000000000";
    let paths = [
        "/api/items".to_owned(),
        "/api/items/main".to_owned(),
        format!("/api/items/{id}"),
        "/api/items/12".to_owned(),
        "/api/items/%00".to_owned(),
        "/api/items/..%2f..%2fetc".to_owned(),
        "/api/categories".to_owned(),
        "/api/carts/one-off".to_owned(),
        "/api/carts/one_off".to_owned(),
        "/api/carts/%27".to_owned(),
        "/api/orders".to_owned(),
        format!("/api/orders/{id}"),
        "/api/orders/mine".to_owned(),
        format!("/api/orders/{id}/payment"),
        "/api/orders/%F0%9F%92%A9/payment".to_owned(),
    ];
    let queries = [
        "",
        "?",
        "?=",
        "?&&&",
        "?page",
        "?page=%ff%fe",
        "?status=PAID%00",
        "?status='or'1'='1",
        "?page=1&page=2&page=x",
        "?size=100&page=4294967295",
        "?keyword=%25%25%5C&brand=%27%3B--",
        "?keyword=%ED%95%9C%EA%B8%80&sort=PRICE_LOW&onSale=true&minPrice=0&maxPrice=9223372036854775807",
        "?keyword=a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q+r+s+t+u+v+w+x+y",
        "?utm_source=elsewhere",
    ];
    let bearer = app.bearer(user);
    for path in &paths {
        for query in queries {
            for token in [None, Some("p1-1"), Some(""), Some("p1-xyz"), Some("\u{1}")] {
                // A position that is reached at once keeps this test from waiting.
                let position = token.unwrap_or("p1-0");
                let headers = [
                    ("authorization", bearer.as_str()),
                    ("min-event-position", if position == "p1-1" { "p1-0" } else { position }),
                    ("if-none-match", "\"\\\"\","),
                    ("accept-encoding", ";;q=,gzip;q=x"),
                ];
                let used = if position.contains('\u{1}') { &headers[..1] } else { &headers[..] };
                let answer = app.get_with(&format!("{path}{query}"), used).await;
                let status = answer.status.as_u16();
                assert!(status < 500, "{path}{query}: {status}");
                if 400 <= status {
                    answer.problem(status);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_position_that_is_no_token_is_refused() {
    let app = shop().await;
    for token in ["4711", "p1-", "p1-ffffffffffffffff", "p9-1"] {
        let answer = app.get_with("/api/items", &[("min-event-position", token)]).await;
        assert_eq!(answer.problem(400)["code"], "position.malformed", "{token}");
    }
    let start = Position::START.token();
    app.get_with("/api/items", &[("min-event-position", &start)]).await.json();
}

#[tokio::test]
async fn pages_of_listed_origins_alone_may_read() {
    let app = shop().await;
    for path in ["/api/items", "/api/orders", "/api/nowhere"] {
        let allowed = app.preflight(path, "https://partner.example").await;
        assert_eq!(allowed.status.as_u16(), 200, "{path}");
        assert_eq!(allowed.header("access-control-allow-origin"), "https://partner.example");
        assert_eq!(allowed.header("access-control-allow-credentials"), "");
        for origin in ["https://evil.example", "null", "https://partner.example.evil.example"] {
            let refused = app.preflight(path, origin).await;
            assert_eq!(refused.header("access-control-allow-origin"), "", "{path} {origin}");
        }
    }
    // A refusal is a problem for listed pages too; whoever is not listed is answered, and may not
    // read it. A shared cache is told that the two differ.
    for (path, status) in [("/api/items", 200), ("/api/items?page=0", 400), ("/api/orders", 401)] {
        for (origin, leave) in
            [("https://partner.example", "https://partner.example"), ("https://evil.example", "")]
        {
            let answer = app.get_with(path, &[("origin", origin)]).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), leave, "{path} {origin}");
            let vary: Vec<_> =
                answer.headers.get_all("vary").iter().map(|it| it.to_str().unwrap()).collect();
            assert!(vary.contains(&"Origin"), "{path} {origin}");
            let is_page = path == "/api/items";
            assert_eq!(vary.contains(&"Accept-Encoding"), is_page, "{path}");
        }
    }
}

#[tokio::test]
async fn a_lost_database_is_503_and_comes_back_without_a_restart() {
    let (mut proxy, app) = TestApp::start_behind_proxy().await;
    let bearer = app.bearer(somebody());
    let headers = [("authorization", bearer.as_str())];
    for trouble in ["refused", "silent"] {
        proxy.pass().await;
        // A connection that died in the pool costs at most one request.
        eventually(Duration::from_mins(1), || async {
            let answer = app.get_with("/api/items", &headers).await;
            answer.status.is_success().then_some(())
        })
        .await;
        if trouble == "refused" {
            proxy.refuse().await;
        } else {
            proxy.hang().await;
        }
        let asked = ["/api/items", "/api/carts/one-off", "/api/orders"]
            .map(|path| app.get_with(path, &headers));
        let [items, cart, orders] = asked;
        let (items, cart, orders) = tokio::join!(items, cart, orders);
        for answer in [items, cart, orders] {
            assert_eq!(answer.problem(503)["code"], "storefront.unavailable", "{trouble}");
            assert_eq!(answer.header("retry-after"), "1", "{trouble}");
        }
    }
    proxy.pass().await;
    eventually(Duration::from_mins(1), || async {
        app.get_with("/api/orders", &headers).await.status.is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_fault_of_ours_is_told_without_its_cause() {
    let app = TestApp::start_uncached().await;
    app.execute("drop view category_totals cascade").await;
    let problem = app.get("/api/items").await.problem(500);
    assert_eq!(problem["code"], "internal");
    assert!(!problem.to_string().contains("category_totals"), "{problem}");
}

#[tokio::test]
async fn operators_see_health_metrics_and_version() {
    let app = shop().await;
    app.get("/api/items").await.json();
    for path in ["/health/live", "/health/ready", "/metrics", "/version"] {
        let response = app.ops.get(path).send().await;
        response.assert_status_is_ok();
    }
    let version = app.ops.get("/version").send().await.0.into_body().into_string().await.unwrap();
    assert!(version.contains(service_kit::build::COMMIT), "{version}");
    let numbers = app.ops.get("/metrics").send().await.0.into_body().into_string().await.unwrap();
    assert!(numbers.contains("http_requests_total"), "{numbers}");
    assert!(numbers.contains("storefront_bodies_built_total"), "{numbers}");
    // Operators' addresses are on the operators' port only.
    app.get("/metrics").await.problem(404);
}
