//! A server below HTTP: it reads requests, remembers them, and answers with whatever bytes it was
//! given, for what no honest server can be brought to do.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with one request.
#[derive(Clone)]
pub(crate) enum Then {
    /// Write these bytes and keep the connection.
    Answer(String),
    /// Write these bytes and close.
    AnswerAndClose(String),
    /// Close without a byte.
    Close,
}

pub(crate) struct Socket {
    pub(crate) base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Socket {
    /// Answers the n-th request, over all connections, with the n-th step, and later ones with
    /// the last.
    pub(crate) async fn answering(steps: Vec<Then>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, steps.clone(), Arc::clone(&seen)));
            }
        });
        Self { base_url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }
}

async fn serve(mut connection: TcpStream, steps: Vec<Then>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut connection).await {
        let step = {
            let mut seen = seen.lock().expect("requests");
            seen.push(request);
            steps[(seen.len() - 1).min(steps.len() - 1)].clone()
        };
        match step {
            Then::Answer(bytes) => connection.write_all(bytes.as_bytes()).await.expect("sent"),
            Then::AnswerAndClose(bytes) => {
                connection.write_all(bytes.as_bytes()).await.expect("sent");
                return;
            }
            Then::Close => return,
        }
    }
}

async fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .and_then(|value| value.trim().parse::<usize>().ok())
                })
                .unwrap_or(0);
            if length <= body.len() {
                return Some(text);
            }
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An HTTP/1.1 answer with a length.
pub(crate) fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
