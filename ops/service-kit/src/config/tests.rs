//! What settings are refused, and how they are shown.

use super::*;

fn settings() -> Settings<'static> {
    Settings::new(|name| match name {
        "DATABASE_URL" => Some("postgres://shop:hunter2@db/shop".to_owned()),
        "PORT" => Some("70000".to_owned()),
        "SIZE" => Some(" 20 ".to_owned()),
        "EMPTY" => Some("  ".to_owned()),
        _ => None,
    })
}

#[test]
fn a_missing_setting_is_named() {
    let error = settings().required("REDIS_URL").unwrap_err();
    assert_eq!(error.to_string(), "REDIS_URL is not set");
}

#[test]
fn an_empty_setting_is_a_missing_one() {
    assert_eq!(settings().required("EMPTY").unwrap_err().to_string(), "EMPTY is not set");
    assert_eq!(settings().parsed("EMPTY", 7_u16).unwrap(), 7);
}

#[test]
fn a_number_out_of_range_says_the_range_and_not_the_value() {
    let error = settings().number("PORT", 8080_u32, 1..=65_535).unwrap_err();
    assert_eq!(error.to_string(), "PORT: expected a number between 1 and 65535");
}

#[test]
fn a_value_that_does_not_parse_is_not_repeated() {
    let error = settings().parsed("DATABASE_URL", 1_u16).unwrap_err();
    assert_eq!(error.to_string(), "DATABASE_URL: invalid digit found in string");
}

#[test]
fn surrounding_blanks_do_not_matter() {
    assert_eq!(settings().parsed("SIZE", 1_usize).unwrap(), 20);
}

#[test]
fn a_secret_is_never_shown() {
    let secret = settings().secret("DATABASE_URL").unwrap();
    assert_eq!(format!("{secret:?}"), "***");
    assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
    assert!(secret.expose().contains("hunter2"));
}

const VARIABLES: Table = &[
    Variable::required("DATABASE_URL", Shape::Postgres, "The database."),
    Variable::number("SIZE", 8, 1..=200, "How many."),
    Variable::required("FIRST_KEY", Shape::Key, "A key."),
    Variable::optional("SECOND_KEY", Shape::Key, "Another one."),
    Variable::with("FORMAT", Shape::Words(&["json", "text"]), "json", "How it looks."),
    Variable::required("PUBLIC_URL", Shape::WebAddress, "Where browsers are."),
];

const KEY: &str = "q8J/2vJY0mJm1kUuJZb3Yy6c9v0TzN4w";

fn table<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    let usual = [
        ("DATABASE_URL", "postgres://shop:hunter2@127.0.0.1/shop"),
        ("FIRST_KEY", KEY),
        ("PUBLIC_URL", "https://shop.example"),
    ];
    move |name| {
        let of = |pairs: &[(&str, &str)]| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        of(set).or_else(|| of(&usual))
    }
}

fn faults(set: &[(&str, &str)]) -> Vec<String> {
    match Settings::of(VARIABLES, table(set)) {
        Ok(_) => Vec::new(),
        Err(error) => error.each().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn defaults_come_from_the_table() {
    let settings = Settings::of(VARIABLES, table(&[])).unwrap();
    assert_eq!(settings.value("SIZE"), Ok(8_usize));
    assert_eq!(settings.value("FORMAT"), Ok("json".to_owned()));
    assert_eq!(settings.optional_value::<String>("SECOND_KEY"), Ok(None));
}

#[test]
fn all_faults_are_reported_at_once() {
    let found = faults(&[
        ("DATABASE_URL", ""),
        ("SIZE", "0"),
        ("FORMAT", "yaml"),
        ("FIRST_KEY", "hunter2"),
        ("PUBLIC_URL", "http://shop.example"),
    ]);
    assert_eq!(
        found,
        [
            "DATABASE_URL is not set",
            "SIZE: expected a number between 1 and 200",
            "FIRST_KEY: expected at least 32 bytes",
            "FORMAT: expected one of json, text",
            "PUBLIC_URL: expected an https address; http is for loopback addresses alone",
        ]
    );
}

#[test]
fn a_wrong_database_url_is_named_and_not_repeated() {
    let found = faults(&[("DATABASE_URL", "foo-hunter2")]);
    assert_eq!(found, ["DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE"]);
}

#[test]
fn a_secret_may_come_from_a_file_and_not_from_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let path = path.to_str().unwrap();
    let set = [("FIRST_KEY", ""), ("FIRST_KEY_FILE", path)];
    let settings = Settings::of(VARIABLES, table(&set)).unwrap();
    assert_eq!(settings.secret("FIRST_KEY").unwrap().expose(), KEY);

    let both = faults(&[("FIRST_KEY_FILE", path)]);
    assert_eq!(both, ["FIRST_KEY: expected either FIRST_KEY or FIRST_KEY_FILE, not both"]);
    let absent = faults(&[("FIRST_KEY", ""), ("FIRST_KEY_FILE", "/nowhere")]);
    assert!(absent[0].starts_with("FIRST_KEY_FILE: cannot be read"), "{absent:?}");
}

#[test]
fn weak_and_equal_keys_are_refused() {
    for weak in ["abababababababababababababababababab", "0123456789abcdef0123456789abcdef"] {
        let found = faults(&[("FIRST_KEY", weak)]);
        assert_eq!(
            found,
            ["FIRST_KEY: expected random bytes, for example from `openssl rand -base64 32`"]
        );
    }
    let found = faults(&[("SECOND_KEY", KEY)]);
    assert_eq!(found, ["SECOND_KEY: expected another value than FIRST_KEY's"]);
}

#[test]
fn a_variable_that_differs_by_a_slip_is_refused() {
    let names = ["DATABSE_URL", "SIZE", "HOME", "FORMATS", "FIRST_KEY_FLIE", "PUBLIC_URL_FILE"];
    let error = refuse_misspelt(&[VARIABLES], names.map(str::to_owned)).unwrap_err();
    let found: Vec<String> = error.each().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "DATABSE_URL is unknown; DATABASE_URL was probably meant",
            "FORMATS is unknown; FORMAT was probably meant",
            "FIRST_KEY_FLIE is unknown; FIRST_KEY_FILE was probably meant",
        ]
    );
}

#[test]
fn the_table_is_shown_without_its_secrets() {
    let lines = shown(&[VARIABLES], table(&[("SIZE", "9")]));
    assert!(lines.contains("DATABASE_URL=***\n"), "{lines}");
    assert!(lines.contains("SIZE=9\n") && lines.contains("FORMAT=json (default)\n"), "{lines}");
    assert!(!lines.contains("hunter2") && !lines.contains(KEY), "{lines}");
    let help = help(&[VARIABLES]);
    for variable in VARIABLES {
        assert!(help.contains(variable.name) && help.contains(variable.sentence), "{help}");
    }
}

const ELSEWHERE: Table =
    &[shared::DATABASE_URL, shared::DATABASE_PLAINTEXT, shared::REDIS_URL, shared::REDIS_PLAINTEXT];

/// `DATABASE_URL`, `DATABASE_PLAINTEXT`, `REDIS_URL`, `REDIS_PLAINTEXT`; empty is unset.
fn elsewhere(set: [&'static str; 4]) -> Result<Settings<'static>, ConfigError> {
    Settings::of(ELSEWHERE, move |name| {
        let place = ELSEWHERE.iter().position(|variable| variable.name == name)?;
        set.get(place).map(|value| (*value).to_owned())
    })
}

const TLS_DATABASE: &str = "postgres://shop:hunter2@db.example/shop";
const PLAIN_DATABASE: &str = "postgres://shop:hunter2@db.example/shop?sslmode=disable";

#[test]
fn another_machine_is_reached_in_plain_text_only_where_that_is_asked_for_by_name() {
    for (set, named) in [
        (
            [PLAIN_DATABASE, "", "", ""],
            "DATABASE_URL: expected sslmode=verify-full, or DATABASE_PLAINTEXT=1",
        ),
        ([PLAIN_DATABASE, "0", "", "1"], "DATABASE_URL: expected sslmode=verify-full"),
        (
            [TLS_DATABASE, "", "redis://:hunter2@cache.example", ""],
            "REDIS_URL: expected rediss://, or REDIS_PLAINTEXT=1",
        ),
        ([TLS_DATABASE, "1", "redis://10.0.0.7:6379/0", "0"], "REDIS_URL: expected rediss://"),
    ] {
        let error = elsewhere(set).unwrap_err().to_string();
        assert!(error.starts_with(named) && !error.contains("hunter2"), "{set:?}: {error}");
    }
    for fine in [
        [PLAIN_DATABASE, "1", "", ""],
        [TLS_DATABASE, "", "", ""],
        [TLS_DATABASE, "", "redis://:hunter2@cache.example", "1"],
        [TLS_DATABASE, "", "rediss://:hunter2@cache.example", ""],
        [TLS_DATABASE, "", "redis://127.0.0.1:6379", ""],
        [TLS_DATABASE, "", "redis://localhost", ""],
    ] {
        assert!(elsewhere(fine).is_ok(), "{fine:?}");
    }
}

/// The variable is what switches encryption off, where the URL says nothing about it.
#[test]
fn a_database_is_reached_in_plain_text_because_of_the_variable_alone() {
    let url = |plaintext| {
        let settings = elsewhere([TLS_DATABASE, plaintext, "", ""]).unwrap();
        settings.database_url("DATABASE_URL").unwrap()
    };
    assert_eq!(url("").expose(), TLS_DATABASE);
    assert_eq!(url("0").expose(), TLS_DATABASE);
    assert_eq!(url("1").expose(), PLAIN_DATABASE);
}

const LISTENERS: Table = &[
    Variable::with("ONE_LISTEN", Shape::Address, "127.0.0.1:8080", "One."),
    Variable::with("OTHER_LISTEN", Shape::Address, "127.0.0.1:8081", "Other."),
];

#[test]
fn two_listeners_have_two_addresses() {
    let other = |address: &'static str| {
        let set = move |name: &str| (name == "OTHER_LISTEN").then(|| address.to_owned());
        Settings::of(LISTENERS, set).map(drop)
    };
    assert!(other("127.0.0.1:8082").is_ok() && other("127.0.0.1:0").is_ok());
    for same in ["127.0.0.1:8080", "0.0.0.0:8080"] {
        let error = other(same).unwrap_err().to_string();
        assert_eq!(error, "OTHER_LISTEN: expected another address than ONE_LISTEN's");
    }
}
