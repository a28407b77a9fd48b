//! The failing network: each mode does to a connection what it says, and passing heals it.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::{ChaosProxy, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for a byte to go through loopback many times over.
const QUIET: Duration = Duration::from_millis(200);
const WITHIN: Duration = Duration::from_secs(30);

/// A server that says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn says_back(stream: &mut TcpStream, text: &[u8]) -> bool {
    let mut heard = vec![0; text.len()];
    let exchange = async {
        stream.write_all(text).await?;
        stream.read_exact(&mut heard).await
    };
    matches!(timeout(WITHIN, exchange).await, Ok(Ok(_))) && heard == text
}

async fn has_ended(stream: &mut TcpStream) -> bool {
    matches!(timeout(WITHIN, stream.read_u8()).await, Ok(Err(_)))
}

#[tokio::test]
async fn it_passes_everything_at_first() {
    let proxy = ChaosProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let large: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    let (mut from, mut to) = stream.split();
    let mut heard = vec![0; large.len()];
    let (sent, read) = tokio::join!(to.write_all(&large), from.read_exact(&mut heard));
    assert!(sent.is_ok() && read.is_ok() && heard == large);
}

#[tokio::test]
async fn cutting_breaks_open_and_new_connections() {
    let mut proxy = ChaosProxy::start(echo().await).await;
    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(says_back(&mut open, b"before").await);

    proxy.cut().await;
    assert!(has_ended(&mut open).await);
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(has_ended(&mut new).await);

    proxy.pass().await;
    let mut healed = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(says_back(&mut healed, b"after").await);
}

#[tokio::test]
async fn refusing_is_as_if_no_server_ran() {
    let mut proxy = ChaosProxy::start(echo().await).await;
    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(says_back(&mut open, b"before").await);

    proxy.refuse().await;
    assert!(has_ended(&mut open).await);
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    proxy.pass().await;
    let mut healed = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(says_back(&mut healed, b"after").await);
}

#[tokio::test]
async fn hanging_connections_are_silent_and_go_on_later() {
    let mut proxy = ChaosProxy::start(echo().await).await;
    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(says_back(&mut open, b"before").await);

    proxy.hang().await;
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    for stream in [&mut open, &mut new] {
        stream.write_all(b"!").await.unwrap();
        assert!(timeout(QUIET, stream.read_u8()).await.is_err(), "it should hang");
    }

    proxy.pass().await;
    for stream in [&mut open, &mut new] {
        assert_eq!(timeout(WITHIN, stream.read_u8()).await.unwrap().unwrap(), b'!');
    }
}

#[tokio::test]
async fn a_url_is_led_through_the_proxy() {
    let server = echo().await;
    let url = format!("postgres://shop:pw@127.0.0.1:{}/shop?x=1", server.port());
    let (proxy, through) = ChaosProxy::before(&url).await;
    let port = proxy.address().port();
    assert_eq!(through, format!("postgres://shop:pw@127.0.0.1:{port}/shop?x=1"));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(says_back(&mut stream, b"through").await);
}

#[tokio::test]
async fn a_dropped_proxy_is_gone() {
    let proxy = ChaosProxy::start(echo().await).await;
    let address = proxy.address();
    drop(proxy);
    eventually(WITHIN, || async { TcpStream::connect(address).await.is_err().then_some(()) }).await;
}
