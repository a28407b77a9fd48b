//! The simulator's addresses: the seven calls, the pay page, and the controls under `/__sim`.

use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::make;
use poem::http::{StatusCode, header};
use poem::{Body, IntoEndpoint, Request, Response, Route, RouteMethod};
use reqwest::redirect;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::clock::ClockChange;
use crate::faults::{Fault, FaultScript, Operation};
use crate::model::Method;
use crate::pay_page::{self, PayAction};
use crate::refusal::Refusal;
use crate::settings::SimSettings;
use crate::sim::{Reply, Sim};

/// Largest body read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest fault script read.
const SCRIPT_BYTES_MAX: usize = 1024 * 1024;
/// How long a doubled redirect waits for the merchant's page.
const DOUBLED_REDIRECT_MAX: Duration = Duration::from_secs(5);
const JSON: &str = "application/json;charset=UTF-8";
const PAGE: &str = "/mockup/bridge/:device/pg/:kind/:step/:hash";

const CALLS: [(&str, Operation); 7] = [
    ("/online/v1/payment/ready", Operation::Ready),
    ("/online/v1/payment/approve", Operation::Approve),
    ("/online/v1/payment/order", Operation::Order),
    ("/online/v1/payment/cancel", Operation::Cancel),
    ("/online/v1/payment/subscription", Operation::Subscription),
    ("/online/v1/payment/manage/subscription/inactive", Operation::Inactive),
    ("/online/v1/payment/manage/subscription/status", Operation::Status),
];

pub(crate) fn routes(sim: &Arc<Sim>) -> Route {
    let mut route = Route::new();
    for (path, operation) in CALLS {
        route = route.at(
            path,
            RouteMethod::new().post(with(sim, move |sim, request| call(sim, operation, request))),
        );
    }
    route
        .at(PAGE, RouteMethod::new().get(with(sim, show)))
        .at(format!("{PAGE}/:action"), RouteMethod::new().post(with(sim, pressed)))
        .at("/__sim/clock", RouteMethod::new().get(with(sim, get_clock)).put(with(sim, put_clock)))
        .at(
            "/__sim/faults",
            RouteMethod::new()
                .get(with(sim, get_faults))
                .put(with(sim, put_faults))
                .delete(with(sim, delete_faults)),
        )
        .at("/__sim/faults/:rule/release", RouteMethod::new().post(with(sim, release_rule)))
        .at(
            "/__sim/settings",
            RouteMethod::new()
                .get(with(sim, get_settings))
                .put(with(sim, put_settings))
                .delete(with(sim, delete_settings)),
        )
        .at("/__sim/sids/:sid/cut", RouteMethod::new().post(with(sim, cut_sid)))
        .at("/__sim/ledger", RouteMethod::new().get(with(sim, get_ledger)))
        .at("/__sim/orders/:tid", RouteMethod::new().get(with(sim, get_order)))
        .at("/__sim/health", RouteMethod::new().get(with(sim, health)))
}

/// An endpoint that hands the simulator to a function.
fn with<F, Fut>(sim: &Arc<Sim>, handle: F) -> impl IntoEndpoint + use<F, Fut>
where
    F: Fn(Arc<Sim>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let sim = Arc::clone(sim);
    make(move |request| handle(Arc::clone(&sim), request))
}

async fn call(sim: Arc<Sim>, operation: Operation, mut request: Request) -> Response {
    if !is_authorized(&sim, &request) {
        return json_response(401, &Refusal::new(-401, "invalid secret key").body());
    }
    let Ok(body) = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await else {
        let refusal = Refusal::new(sim.config.parameter_code, "invalid request body");
        return json_response(400, &refusal.body());
    };
    let charset = request
        .content_type()
        .is_some_and(|text| text.to_ascii_lowercase().contains("charset=utf-8"));
    let peer = request.remote_addr().as_socket_addr().copied();
    let connections = sim.connections.clone();
    // A task of its own: a caller that hangs up does not stop it, whatever the server does with
    // the handler of a closed connection.
    let serving = tokio::spawn(async move { sim.serve(operation, &body, charset).await });
    match serving.await {
        Ok(Reply::Json(status, body)) => json_response(status, &body),
        Ok(Reply::Raw(status, body)) => response(status, JSON, body),
        Ok(Reply::Page(status, body)) => response(status, "text/html", body.to_owned()),
        Ok(Reply::Cut) => {
            if let Some(peer) = peer {
                connections.cut(&peer);
            }
            response(500, JSON, String::new())
        }
        Err(_) => response(500, JSON, String::new()),
    }
}

/// The header must be the word `SECRET_KEY`, one space, and a key.
fn is_authorized(sim: &Sim, request: &Request) -> bool {
    let Some(key) = request
        .header(header::AUTHORIZATION)
        .and_then(|authorization| authorization.strip_prefix("SECRET_KEY "))
    else {
        return false;
    };
    match &sim.config.secret_key {
        Some(expected) => key == expected.expose(),
        None => !key.trim().is_empty(),
    }
}

/// What a pay page's address may carry.
#[derive(Deserialize)]
struct PageQuery {
    auto: Option<PayAction>,
    method: Option<Method>,
}

async fn show(sim: Arc<Sim>, request: Request) -> Response {
    let hash = param(&request, "hash");
    let Ok(query) = request.params::<PageQuery>() else {
        return response(400, "text/plain", "auto is approve, cancel or fail\n".to_owned());
    };
    let view = sim.world().open_page(&hash);
    let Some(view) = view else {
        return response(404, "text/plain", "no such payment\n".to_owned());
    };
    match query.auto.or(sim.config.auto_pay) {
        Some(action) => press(&sim, &hash, action, query.method).await,
        None => response(
            200,
            "text/html; charset=utf-8",
            pay_page::html(&view, request.original_uri().path()),
        ),
    }
}

async fn pressed(sim: Arc<Sim>, request: Request) -> Response {
    let Ok(action) = param(&request, "action").parse::<PayAction>() else {
        return response(404, "text/plain", "no such button\n".to_owned());
    };
    let method = request.params::<PageQuery>().ok().and_then(|query| query.method);
    press(&sim, &param(&request, "hash"), action, method).await
}

async fn press(sim: &Sim, hash: &str, action: PayAction, method: Option<Method>) -> Response {
    let now = sim.clock.now();
    let plan = sim.faults().plan(Operation::PayPage, &Value::Null, now);
    let target = sim.world().press(hash, action, method);
    let Some(url) = target else {
        return response(409, "text/plain", "this payment is finished\n".to_owned());
    };
    if plan.fault == Some(Fault::DuplicateRedirect) && action == PayAction::Approve {
        visit(url.clone()).await;
    }
    Response::builder().status(StatusCode::FOUND).header(header::LOCATION, url.as_str()).finish()
}

/// Asks for a page as a browser's prefetch would; what comes back is nobody's business.
async fn visit(url: Url) {
    let browser = reqwest::Client::builder()
        .timeout(DOUBLED_REDIRECT_MAX)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build();
    let visited = match browser {
        Ok(browser) => browser.get(url).send().await,
        Err(error) => Err(error),
    };
    if let Err(error) = visited {
        tracing::warn!(error = %error.without_url(), "the doubled redirect went nowhere");
    }
}

async fn get_clock(sim: Arc<Sim>, _: Request) -> Response {
    json_response(200, &json!({ "now": sim.clock.now() }))
}

async fn put_clock(sim: Arc<Sim>, request: Request) -> Response {
    match read::<ClockChange>(request).await {
        Ok(change) => json_response(200, &json!({ "now": sim.clock.change(change) })),
        Err(answer) => answer,
    }
}

async fn get_faults(sim: Arc<Sim>, _: Request) -> Response {
    json_response(200, &json!(sim.faults().script()))
}

async fn put_faults(sim: Arc<Sim>, request: Request) -> Response {
    let json = match read::<Value>(request).await {
        Ok(json) => json,
        Err(answer) => return answer,
    };
    match FaultScript::from_json(&json) {
        Ok(script) => {
            let now = sim.clock.now();
            sim.faults().set(script, now);
            json_response(200, &json!(sim.faults().script()))
        }
        Err(error) => json_response(400, &json!({ "error": error.to_string() })),
    }
}

async fn delete_faults(sim: Arc<Sim>, _: Request) -> Response {
    let now = sim.clock.now();
    sim.faults().set(FaultScript::default(), now);
    Response::builder().status(StatusCode::NO_CONTENT).finish()
}

async fn release_rule(sim: Arc<Sim>, request: Request) -> Response {
    let rule = param(&request, "rule").parse().ok();
    if rule.is_some_and(|rule| sim.faults().release(rule)) {
        return Response::builder().status(StatusCode::NO_CONTENT).finish();
    }
    json_response(404, &json!({ "error": "no such rule" }))
}

async fn get_settings(sim: Arc<Sim>, _: Request) -> Response {
    json_response(200, &json!(sim.world().settings()))
}

async fn put_settings(sim: Arc<Sim>, request: Request) -> Response {
    match read::<SimSettings>(request).await {
        Ok(settings) => {
            sim.world().set_settings(settings.clone());
            json_response(200, &json!(settings))
        }
        Err(answer) => answer,
    }
}

/// Back to the settings of the start.
async fn delete_settings(sim: Arc<Sim>, _: Request) -> Response {
    sim.world().set_settings(sim.config.settings.clone());
    Response::builder().status(StatusCode::NO_CONTENT).finish()
}

async fn cut_sid(sim: Arc<Sim>, request: Request) -> Response {
    let now = sim.clock.now();
    let known = sim.world().cut_sid(now, &param(&request, "sid"));
    if known {
        return Response::builder().status(StatusCode::NO_CONTENT).finish();
    }
    json_response(404, &json!({ "error": "no such sid" }))
}

async fn get_ledger(sim: Arc<Sim>, _: Request) -> Response {
    json_response(200, &json!(sim.ledger()))
}

async fn get_order(sim: Arc<Sim>, request: Request) -> Response {
    let order = sim.world().order(&param(&request, "tid"));
    match order {
        Some(order) => json_response(200, &order),
        None => json_response(404, &json!({ "error": "no such tid" })),
    }
}

async fn health(_: Arc<Sim>, _: Request) -> Response {
    json_response(200, &json!({ "status": "up" }))
}

async fn read<T: serde::de::DeserializeOwned>(mut request: Request) -> Result<T, Response> {
    let refuse = |text: String| json_response(400, &json!({ "error": text }));
    let body = request
        .take_body()
        .into_bytes_limit(SCRIPT_BYTES_MAX)
        .await
        .map_err(|error| refuse(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| refuse(error.to_string()))
}

fn param(request: &Request, name: &str) -> String {
    request.raw_path_param(name).unwrap_or_default().to_owned()
}

fn json_response(status: u16, body: &Value) -> Response {
    response(status, JSON, body.to_string())
}

fn response(status: u16, content_type: &str, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Response::builder().status(status).content_type(content_type).body(Body::from_string(body))
}
