//! Where "not sent" ends and "unknown" begins, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kakaopay::{CallError, ClientConfig, ConfigError, NotSent, SecretKey, Unknown};
use tokio::net::TcpSocket;

use crate::shop::{ONE_TIME, amounts, client, config_for, ready_request};
use crate::socket::{Socket, Then, http};

const READY: &str = r#"{"tid":"T1234567890123456789","next_redirect_app_url":"https://pay.example/aInfo","next_redirect_mobile_url":"https://pay.example/mInfo","next_redirect_pc_url":"https://pay.example/info","android_app_scheme":"kakaotalk://kakaopay/pg?url=x","ios_app_scheme":"kakaotalk://kakaopay/pg?url=x","created_at":"2023-07-15T21:18:22"}"#;

async fn ready(config: &ClientConfig) -> Result<kakaopay::Ready, CallError> {
    client(config).ready(&ready_request(ONE_TIME, amounts()), Some("req-1")).await
}

async fn ready_answered(step: Then) -> Result<kakaopay::Ready, CallError> {
    let socket = Socket::answering(vec![step]).await;
    let answer = ready(&config_for(&socket.base_url)).await;
    assert_eq!(socket.requests().len(), 1, "never repeated");
    answer
}

#[tokio::test]
async fn the_request_is_what_kakaopay_documents() {
    let socket = Socket::answering(vec![Then::Answer(http("200 OK", READY))]).await;
    ready(&config_for(&socket.base_url)).await.expect("ready");
    let request = socket.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    let head = head.to_lowercase();
    assert!(head.starts_with("post /online/v1/payment/ready http/1.1"), "{head}");
    assert!(head.contains("authorization: secret_key dev0123456789\r\n"), "{head}");
    assert!(head.contains("content-type: application/json; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("x-request-id: req-1"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).expect("json");
    assert_eq!(
        body,
        serde_json::json!({
            "cid": "TC0ONETIME",
            "partner_order_id": "order-1",
            "partner_user_id": "user-1",
            "item_name": "홍삼 스틱 30포",
            "quantity": 1,
            "total_amount": 19_900,
            "tax_free_amount": 0,
            "vat_amount": 1_809,
            "approval_url": "https://shop.example/return?order=1",
            "cancel_url": "https://shop.example/cancel",
            "fail_url": "https://shop.example/fail",
        })
    );
}

/// Answers one request on a thread of its own; says when it has read the request, then when it has
/// written the answer.
fn answer_once(listener: &std::net::TcpListener, told: &mpsc::Sender<()>) {
    let (stream, _peer) = listener.accept().expect("a caller");
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).expect("a body");
    told.send(()).expect("a listener");
    reader.get_mut().write_all(http("200 OK", READY).as_bytes()).expect("an answer");
    told.send(()).expect("a listener");
}

/// A process that is stopped for longer than a call may take finds its time over and the answer in the
/// socket. Thrown away, a recurring approval's answer takes the key along.
#[tokio::test]
async fn an_answer_that_came_while_the_process_stood_still_is_read() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("http://{}", listener.local_addr().expect("an address"));
    let (told, hears) = mpsc::channel();
    let server = thread::spawn(move || answer_once(&listener, &told));
    let config = ClientConfig {
        connect_timeout: Duration::from_millis(200),
        call_timeout: Duration::from_millis(400),
        ..config_for(&base_url)
    };
    let over = Instant::now() + config.call_timeout * 2;
    let stand_still = async {
        while hears.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        // Blocks the only thread, and with it everything that the caller does.
        hears.recv().expect("an answer is written");
        while let Some(rest) = over.checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
        }
    };
    let (answer, ()) = tokio::join!(ready(&config), stand_still);
    answer.expect("ready");
    server.join().expect("the server ends");
}

#[tokio::test]
async fn a_request_id_no_header_can_carry_is_left_out() {
    let socket = Socket::answering(vec![Then::Answer(http("200 OK", READY))]).await;
    let client = client(&config_for(&socket.base_url));
    client.ready(&ready_request(ONE_TIME, amounts()), Some("a\nb")).await.expect("ready");
    assert!(!socket.requests()[0].to_lowercase().contains("x-request-id"));
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    // Bound and dropped, so nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let answer = ready(&config_for(&format!("http://{address}"))).await;
    assert!(matches!(answer, Err(CallError::NotSent(NotSent::Connect(_)))), "{answer:?}");
}

#[tokio::test]
async fn a_name_nobody_has_is_not_sent() {
    let answer = ready(&config_for("http://kakaopay.invalid")).await;
    assert!(matches!(answer, Err(CallError::NotSent(_))), "{answer:?}");
}

#[tokio::test]
async fn a_failed_handshake_is_not_sent() {
    // Speaks no TLS: the client's hello is no HTTP request, so the socket closes on it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let answer = ready(&config_for(&format!("https://{address}"))).await;
    assert!(matches!(answer, Err(CallError::NotSent(NotSent::Connect(_)))), "{answer:?}");
}

/// A listener whose queue is full answers nothing at all, like a host behind a silent firewall.
#[tokio::test]
async fn a_connection_that_never_opens_is_not_sent() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut filling = Vec::new();
    while let Ok(Ok(connection)) =
        tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(address)).await
    {
        filling.push(connection);
    }

    let mut config = config_for(&format!("http://{address}"));
    config.connect_timeout = Duration::from_millis(100);
    config.call_timeout = Duration::from_secs(30);
    assert_eq!(ready(&config).await, Err(CallError::NotSent(NotSent::ConnectTimeout)));
}

#[tokio::test]
async fn a_connection_closed_after_the_request_is_unknown() {
    let answer = ready_answered(Then::Close).await;
    assert!(matches!(answer, Err(CallError::Unknown(Unknown::Connection(_)))), "{answer:?}");
}

/// The second call goes out on the first one's connection, which closes without an answer. The
/// bytes were sent, so this is unknown; and as nothing repeats it, the server sees it once.
#[tokio::test]
async fn a_reused_connection_that_dies_is_unknown_and_not_repeated() {
    let socket = Socket::answering(vec![Then::Answer(http("200 OK", READY)), Then::Close]).await;
    let client = client(&config_for(&socket.base_url));
    let request = ready_request(ONE_TIME, amounts());
    client.ready(&request, None).await.expect("the first goes through");
    let answer = client.ready(&request, None).await;
    assert!(matches!(answer, Err(CallError::Unknown(Unknown::Connection(_)))), "{answer:?}");
    assert_eq!(socket.requests().len(), 2);
}

#[tokio::test]
async fn half_an_answer_is_unknown() {
    let whole = http("200 OK", READY);
    for length in [1, 12, 40, whole.len() / 2, whole.len() - 1] {
        let answer = ready_answered(Then::AnswerAndClose(whole[..length].to_owned())).await;
        let Err(CallError::Unknown(reason)) = answer else { panic!("{length}: {answer:?}") };
        assert!(matches!(reason, Unknown::Connection(_)), "{length}: {reason:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_unknown() {
    let half = http("200 OK", READY);
    let socket = Socket::answering(vec![Then::Answer(half[..half.len() - 9].to_owned())]).await;
    let mut config = config_for(&socket.base_url);
    config.connect_timeout = Duration::from_millis(900);
    config.call_timeout = Duration::from_secs(1);
    assert_eq!(ready(&config).await, Err(CallError::Unknown(Unknown::Timeout)));
}

#[tokio::test]
async fn an_answer_too_long_to_be_kakaopays_is_unknown() {
    let answer = ready_answered(Then::Answer(http("200 OK", &" ".repeat(300 * 1024)))).await;
    assert!(matches!(answer, Err(CallError::Unknown(Unknown::Unreadable { .. }))), "{answer:?}");
}

#[tokio::test]
async fn a_refusal_without_a_code_is_unknown() {
    for body in [
        "",
        "<html>nginx</html>",
        "{}",
        r#"{"code":-780,"msg":"approval failure!"}"#,
        r#"{"error_code":"abc","error_message":"x"}"#,
        r#"[-780,"approval failure!",null]"#,
    ] {
        let answer = ready_answered(Then::Answer(http("400 Bad Request", body))).await;
        let Err(CallError::Unknown(Unknown::Unreadable { http_status, .. })) = answer else {
            panic!("{body}: {answer:?}")
        };
        assert_eq!(http_status, 400);
    }
}

#[tokio::test]
async fn other_answers_than_200_are_unknown() {
    let refusal = r#"{"error_code":-780,"error_message":"x"}"#;
    for status in ["201 Created", "302 Found", "304 Not Modified"] {
        let body = if status.starts_with("304") { "" } else { refusal };
        let answer = ready_answered(Then::Answer(http(status, body))).await;
        assert!(matches!(answer, Err(CallError::Unknown(_))), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_by_code_as_text_and_with_odd_extras_is_a_refusal() {
    let body = r#"{"error_code":"-780","error_message":null,"extras":["odd"]}"#;
    let answer = ready_answered(Then::Answer(http("400 Bad Request", body))).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.code.0, error.message.as_str(), error.extras), (-780, "", None));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fine = config_for("https://open-api.kakaopay.com/");
    assert!(kakaopay::Client::new(&fine).is_ok());
    let refused = |change: fn(&mut ClientConfig)| {
        let mut config = fine.clone();
        change(&mut config);
        kakaopay::Client::new(&config).expect_err("a refusal")
    };
    assert!(matches!(
        refused(|config| config.call_timeout = config.connect_timeout),
        ConfigError::Timeouts
    ));
    assert!(matches!(
        refused(|config| config.secret_key = SecretKey::new(" ")),
        ConfigError::SecretKey
    ));
    assert!(matches!(
        refused(|config| config.secret_key = SecretKey::new("a\nb")),
        ConfigError::SecretKey
    ));
    assert!(matches!(
        refused(|config| config.base_url = "ftp://x".parse().expect("a url")),
        ConfigError::BaseUrl
    ));
}

#[test]
fn no_debug_shows_the_key() {
    let config = config_for("https://open-api.kakaopay.com/");
    let text = format!("{config:?} {:?}", client(&config));
    assert!(!text.contains("DEV0123456789"), "{text}");
}
