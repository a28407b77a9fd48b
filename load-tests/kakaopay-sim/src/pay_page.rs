//! The page on which a shopper pays: three buttons, or `?auto=approve|cancel|fail` without any.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::Method;

/// A button of the pay page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayAction {
    /// The shopper enters the password.
    Approve,
    /// The shopper gives up.
    Cancel,
    /// The shopper enters a wrong password.
    Fail,
}

/// Not one of `approve`, `cancel` and `fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected approve, cancel or fail")]
pub struct NotAPayAction;

impl FromStr for PayAction {
    type Err = NotAPayAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "approve" => Ok(Self::Approve),
            "cancel" => Ok(Self::Cancel),
            "fail" => Ok(Self::Fail),
            _ => Err(NotAPayAction),
        }
    }
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageView {
    pub(crate) item_name: String,
    pub(crate) total: i64,
    pub(crate) is_open: bool,
    pub(crate) only_method: Option<Method>,
}

/// The page as HTML; `path` is its own address.
pub(crate) fn html(view: &PageView, path: &str) -> String {
    let body = if view.is_open {
        buttons(view, path)
    } else {
        "<p>이미 끝난 결제입니다. (this payment is finished)</p>".to_owned()
    };
    format!(
        "<!doctype html>\n<html lang=\"ko\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>카카오페이 (simulated)</title>\n\
         <style>body{{font-family:sans-serif;max-width:24rem;margin:3rem auto;padding:0 1rem}}\
         button{{display:block;width:100%;padding:.8rem;margin:.5rem 0;font-size:1rem}}\
         #approve-money,#approve-card{{background:#fee500;border:0}}</style>\n</head>\n<body>\n\
         <h1>카카오페이 <small>(simulated, no money moves)</small></h1>\n\
         <p id=\"item\">{}</p>\n<p id=\"total\"><strong>{}원</strong></p>\n{body}\n</body>\n</html>\n",
        escaped(&view.item_name),
        grouped(view.total),
    )
}

fn buttons(view: &PageView, path: &str) -> String {
    let path = escaped(path);
    let button = |id: &str, target: &str, text: &str| {
        format!(
            "<form method=\"post\" action=\"{path}/{target}\">\
             <button id=\"{id}\">{text}</button></form>\n"
        )
    };
    let mut html = String::new();
    if view.only_method != Some(Method::Card) {
        html += &button("approve-money", "approve?method=MONEY", "카카오페이머니로 결제 (approve)");
    }
    if view.only_method != Some(Method::Money) {
        html += &button("approve-card", "approve?method=CARD", "카드로 결제 (approve)");
    }
    html += &button("cancel", "cancel", "취소 (cancel)");
    html += &button("fail", "fail", "비밀번호 오류 (fail)");
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Thousands apart: `19,900`.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_escapes_what_the_merchant_sent() {
        let view = PageView {
            item_name: "<script>\"홍삼\"&".to_owned(),
            total: 1_019_900,
            is_open: true,
            only_method: Some(Method::Money),
        };
        let html = html(&view, "/mockup/x");
        assert!(html.contains("&lt;script&gt;&quot;홍삼&quot;&amp;"), "{html}");
        assert!(html.contains("1,019,900원"), "{html}");
        assert!(!html.contains("method=CARD"), "{html}");
    }

    #[test]
    fn small_sums_have_no_commas() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(19_900), "19,900");
    }
}
