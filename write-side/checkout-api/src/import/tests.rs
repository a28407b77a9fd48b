//! The import over small made-up files, whole and broken, and over the real one without a store.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contracts::{Category, ItemId, ReportNo};
use domain::item::Item;
use event_store::{Executor, ExecutorOptions, MemoryStore};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::source::LINE_BYTES_MAX;
use super::{
    Format, ImportError, ImportOptions, ImportReport, Progress, RefusedRow, Source, run_import,
};

struct Shop {
    executor: Executor<Item>,
    files: TempDir,
}

impl Shop {
    fn new() -> Self {
        let options = ExecutorOptions::default();
        let executor = Executor::new(Arc::new(MemoryStore::default()), options);
        Self { executor, files: TempDir::new().unwrap() }
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.files.path().join("catalogue");
        fs::write(&path, content).unwrap();
        path
    }

    async fn import(&self, content: &[u8]) -> ImportReport {
        self.import_as(content, Format::Jsonl, true).await.unwrap()
    }

    async fn import_as(
        &self,
        content: &[u8],
        format: Format,
        demo_prices: bool,
    ) -> Result<ImportReport, ImportError> {
        let options = ImportOptions { format, demo_prices };
        run_import(&self.executor, &self.file(content), options, &Progress::Silent).await
    }

    async fn item(&self, report_no: &str) -> Item {
        let report_no = ReportNo::try_from(report_no.to_owned()).unwrap();
        self.executor.load(ItemId::of(&report_no).uuid()).await.unwrap().state
    }
}

fn row(number: u32) -> Value {
    json!({
        "report_no": format!("2099001{number:07}"),
        "product_name": format!("지어낸 제품 {number}"),
        "main_function": "간 건강에 도움을 줄 수 있음",
    })
}

fn with(number: u32, field: &str, value: impl Into<Value>) -> Value {
    let mut row = row(number);
    row[field] = value.into();
    row
}

fn lines(rows: &[Value]) -> Vec<u8> {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    lines.concat().into_bytes()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn counts(report: &ImportReport) -> [u64; 5] {
    [report.rows, report.accepted, report.unchanged, report.changed, report.refused]
}

fn codes(report: &ImportReport) -> Vec<(u64, &'static str)> {
    report.refusals.iter().map(|refused| (refused.line, refused.code)).collect()
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_a_changed_row_only_itself() {
    let shop = Shop::new();
    let first: Vec<Value> = (1..=50).map(row).collect();
    assert_eq!(counts(&shop.import(&lines(&first)).await), [50, 50, 0, 0, 0]);
    assert_eq!(counts(&shop.import(&lines(&first)).await), [50, 0, 50, 0, 0]);
    let mut second = first;
    second[6] = with(7, "storage", "서늘한 곳에 보관");
    assert_eq!(counts(&shop.import(&gzip(&lines(&second))).await), [50, 0, 49, 1, 0]);
    let item = shop.item("20990010000007").await;
    let details = &item.registered().unwrap().details;
    assert_eq!(details.storage.as_ref().unwrap().as_str(), "서늘한 곳에 보관");
    assert!(item.registered().unwrap().categories.contains(&Category::Liver));
}

#[tokio::test]
async fn every_bad_row_is_refused_by_line_and_stops_nobody() {
    let shop = Shop::new();
    let without = |field: &str| {
        let mut row = row(90);
        row.as_object_mut().unwrap().remove(field);
        row
    };
    let mut content = lines(&[row(1)]);
    content.extend_from_slice(b"{\"report_no\": \n");
    content.extend_from_slice(b"\xff\xfe not text\n");
    content.extend_from_slice(b"\r\n   \n");
    content.extend_from_slice(&lines(&[
        without("report_no"),
        without("product_name"),
        with(90, "product_name", "  \r\n "),
        with(90, "report_no", "12-34"),
        with(90, "product_name", "가".repeat(301)),
        with(90, "storage", "가".repeat(4_001)),
        row(1),
        with(90, "registered_on", "2015-13-41"),
        with(90, "origin_price", -1),
        with(90, "origin_price", 0),
        with(90, "categories", json!(["LIVER", "KIDNEY"])),
        with(91, "categories", json!(["LIVER", "ETC"])),
        with(90, "product_name", 7),
        json!([1, 2]),
    ]));
    content.extend_from_slice("x".repeat(LINE_BYTES_MAX + 1).as_bytes());
    content.push(b'\n');
    // The last line has no end; it counts all the same.
    content.extend_from_slice(row(2).to_string().as_bytes());
    let report = shop.import(&content).await;
    assert_eq!(
        codes(&report),
        [
            (2, "import.bad_json"),
            (3, "import.not_utf8"),
            (6, "import.report_no_missing"),
            (7, "import.product_name_missing"),
            (8, "import.product_name_missing"),
            (9, "import.report_no_malformed"),
            (10, "import.field_too_long"),
            (11, "import.field_too_long"),
            (12, "import.duplicate"),
            (13, "import.date_malformed"),
            (14, "import.price_malformed"),
            (15, "item.price_out_of_range"),
            (16, "import.unknown_category"),
            (17, "item.etc_not_alone"),
            (18, "import.bad_json"),
            (19, "import.bad_json"),
            (20, "import.line_too_long"),
        ]
    );
    assert_eq!(counts(&report), [19, 2, 0, 0, 17]);
    assert!(!report.cut_short);
    assert_eq!(report.refusals[8].reason, "the report number stands in line 1 already");
    assert_eq!(report.refusals[7].report_no.as_deref(), Some("20990010000090"));
}

#[tokio::test]
async fn real_texts_are_put_right() {
    let shop = Shop::new();
    let messy = json!({
        "report_no": " 20990010000001 ",
        "product_name": "\u{7}튼튼 간\u{0}",
        "enterprise": "",
        "registered_on": "20150522",
        "main_function": "①간 건강\r\n②피로개선\r③항산화\t",
        "intake_hint": null,
    });
    let mut content = b"\xef\xbb\xbf".to_vec();
    content.extend_from_slice(&lines(&[messy]));
    assert_eq!(counts(&shop.import(&content).await), [1, 1, 0, 0, 0]);
    let item = shop.item("20990010000001").await;
    let item = item.registered().unwrap();
    assert_eq!(item.details.product_name.as_str(), "튼튼 간");
    assert_eq!(item.details.enterprise, None);
    assert_eq!(item.details.registered_on.unwrap().to_string(), "2015-05-22");
    let function = item.details.main_function.as_ref().unwrap();
    assert_eq!(function.as_str(), "①간 건강\n②피로개선\n③항산화");
    assert_eq!(
        item.categories.iter().copied().collect::<Vec<_>>(),
        [Category::Liver, Category::Antioxidant, Category::Fatigue]
    );
}

#[tokio::test]
async fn a_price_of_the_file_counts_and_a_derived_one_only_for_a_new_item() {
    let shop = Shop::new();
    let priced = || {
        let mut row = with(1, "origin_price", 32_900);
        row["discount_rate_tenths"] = json!(125);
        lines(&[row])
    };
    let bare = lines(&[row(1)]);
    let refused = shop.import_as(&bare, Format::Jsonl, false).await.unwrap();
    assert_eq!(codes(&refused), [(1, "import.price_missing")]);
    let accepted = shop.import_as(&priced(), Format::Jsonl, false).await.unwrap();
    assert_eq!(counts(&accepted), [1, 1, 0, 0, 0]);
    // The price somebody set is not undone by a derived one.
    assert_eq!(counts(&shop.import(&bare).await), [1, 0, 1, 0, 0]);
    let offer = shop.item("20990010000001").await.offer().unwrap();
    assert_eq!((offer.origin_price.amount(), offer.unit_price.amount()), (32_900, 28_787));
    let new = shop.import(&lines(&[row(2)])).await;
    assert_eq!(counts(&new), [1, 1, 0, 0, 0]);
    let derived = shop.item("20990010000002").await.offer().unwrap().origin_price.amount();
    assert!((1_000..=500_000).contains(&derived));
}

#[tokio::test]
async fn a_truncated_archive_is_taken_as_far_as_it_goes() {
    let shop = Shop::new();
    let rows: Vec<Value> = (1..=3_000)
        .map(|number| with(number, "storage", format!("{number:x}").repeat(9)))
        .collect();
    let whole = gzip(&lines(&rows));
    let report = shop.import(&whole[..whole.len() / 2]).await;
    assert!(report.cut_short);
    assert_eq!(report.refused, 1);
    assert!(0 < report.accepted && report.accepted < 3_000, "{}", report.accepted);
    let [RefusedRow { line, code: "import.cut_short", .. }] = &report.refusals[..] else {
        panic!("{:?}", report.refusals);
    };
    assert_eq!(*line, report.accepted + 1);
    let again = shop.import(&whole).await;
    assert_eq!((again.accepted + again.unchanged, again.unchanged), (3_000, report.accepted));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_all_is_an_error() {
    let shop = Shop::new();
    let broken = shop.import_as(&gzip(b"x")[..5], Format::Jsonl, true).await;
    assert!(matches!(broken, Err(ImportError::Unreadable { .. })), "{broken:?}");
    let options = ImportOptions { format: Format::Jsonl, demo_prices: true };
    let absent = Path::new("no such file");
    let absent = run_import(&shop.executor, absent, options, &Progress::Silent).await;
    assert!(matches!(absent, Err(ImportError::Unreadable { .. })), "{absent:?}");
    assert_eq!(counts(&shop.import(b"").await), [0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn the_log_holds_each_item_once_after_two_runs() {
    let database = testkit::TestDatabase::fresh().await;
    let url = service_kit::config::Secret::new(database.url.clone());
    let store = event_store::PgEventStore::open(&url, event_store::StoreSizes::default()).unwrap();
    let executor = Executor::new(store, ExecutorOptions::default());
    let shop = Shop { executor, files: TempDir::new().unwrap() };
    let content = lines(&(1..=300).map(row).collect::<Vec<_>>());
    assert_eq!(counts(&shop.import(&content).await), [300, 300, 0, 0, 0]);
    assert_eq!(counts(&shop.import(&content).await), [300, 0, 300, 0, 0]);
    let client = database.client().await;
    let events = client.query_one("select count(*) from events", &[]).await.unwrap();
    assert_eq!(events.get::<_, i64>(0), 300);
}

fn answer(items: &[Value]) -> Vec<u8> {
    let items: Vec<Value> = items.iter().map(|item| json!({"item": item})).collect();
    json!({
        "header": {"resultCode": "00", "resultMsg": "NORMAL SERVICE."},
        "body": {"pageNo": 1, "totalCount": 3, "items": items},
    })
    .to_string()
    .into_bytes()
}

fn of_ministry(number: u32) -> Value {
    json!({
        "STTEMNT_NO": format!("2099001{number:07}"),
        "PRDUCT": "지어낸 제품",
        "ENTRPS": "가온식품",
        "REGIST_DT": "20150522",
        "MAIN_FNCTN": "기억력 개선에 도움",
    })
}

#[tokio::test]
async fn the_ministrys_answers_are_read_one_after_the_other() {
    let shop = Shop::new();
    let mut content = answer(&[of_ministry(1), json!("no item"), of_ministry(2)]);
    content.push(b'\n');
    content.extend_from_slice(&answer(&[of_ministry(3), of_ministry(1)]));
    let report = shop.import_as(&content, Format::MfdsJson, true).await.unwrap();
    assert_eq!(counts(&report), [5, 3, 0, 0, 2]);
    assert_eq!(codes(&report), [(2, "import.bad_json"), (5, "import.duplicate")]);
    let item = shop.item("20990010000003").await;
    assert!(item.registered().unwrap().categories.contains(&Category::Brain));
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_failed_is_cut_short() {
    let shop = Shop::new();
    let whole = answer(&[of_ministry(1), of_ministry(2)]);
    let second = whole.windows(6).rposition(|part| part == b"PRDUCT").unwrap();
    let cut = &whole[..second];
    let report = shop.import_as(cut, Format::MfdsJson, true).await.unwrap();
    assert!(report.cut_short);
    assert_eq!(codes(&report), [(2, "import.cut_short")]);
    let mut failed = whole;
    failed.extend_from_slice(br#"{"header": {"resultCode": "22"}, "body": {}}"#);
    let report = shop.import_as(&failed, Format::MfdsJson, true).await.unwrap();
    assert_eq!(counts(&report), [3, 1, 1, 0, 1]);
    assert!(report.refusals[0].reason.contains("result code 22"), "{report:?}");
    let endless =
        format!(r#"{{"body": {{"items": [{{"PRDUCT": "{}"#, "x".repeat(LINE_BYTES_MAX * 2));
    let endless = shop.import_as(endless.as_bytes(), Format::MfdsJson, true).await;
    assert!(matches!(endless, Err(ImportError::Unreadable { .. })), "{endless:?}");
}

#[tokio::test]
async fn the_shipped_catalogue_is_taken_whole_and_fills_every_shelf() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/shop/catalogue/sample.jsonl");
    let content = fs::read(path).unwrap();
    let shop = Shop::new();
    let report = shop.import_as(&content, Format::Jsonl, false).await.unwrap();
    assert_eq!((report.refused, report.accepted), (0, report.rows), "{report}");
    assert!((50..=80).contains(&report.rows));
    let shelved: std::collections::BTreeSet<Category> =
        checked(&content, false).await.into_iter().flat_map(|row| row.terms.categories).collect();
    assert_eq!(shelved.len(), Category::ALL.len());
}

/// The rows of a file that pass the checks, without any store.
async fn checked(content: &[u8], demo_prices: bool) -> Vec<super::Row> {
    let files = TempDir::new().unwrap();
    let path = files.path().join("catalogue");
    fs::write(&path, content).unwrap();
    let source = Source::open(&path).unwrap();
    let (sender, mut receiver) = mpsc::channel(64);
    let options = ImportOptions { format: Format::Jsonl, demo_prices };
    let reader = std::thread::spawn(move || source.read(options, &sender));
    let mut rows = Vec::new();
    while let Some(numbered) = receiver.recv().await {
        rows.push(*numbered.row.unwrap_or_else(|refusal| {
            panic!("line {}: {refusal}", numbered.line);
        }));
    }
    reader.join().unwrap().unwrap();
    rows
}

#[tokio::test]
async fn the_real_catalogue_is_taken_whole_and_shelved_as_expected() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/supplements.jsonl.gz");
    let Ok(content) = fs::read(&path) else {
        writeln!(std::io::stderr(), "skipped: {} is absent", path.display()).unwrap();
        return;
    };
    let rows = checked(&content, true).await;
    let on = |category: Category| {
        rows.iter().filter(|row| row.terms.categories.contains(&category)).count()
    };
    let shelves: Vec<String> =
        Category::ALL.into_iter().map(|category| format!("{category} {}", on(category))).collect();
    assert!(26_000 < rows.len(), "{}", rows.len());
    // What careful reading of the data found, as shares of it: about 3.3, 22 and 12.4 percent.
    for (category, expected) in
        [(Category::Liver, 856), (Category::Brain, 5_770), (Category::Etc, 3_240)]
    {
        let found = on(category);
        assert!(found.abs_diff(expected) * 10 < expected, "{category}: {found} of {shelves:?}");
    }
}
