//! The command line of `storefront-api`, which once started the server whatever it was asked.

use std::process::Command;

fn storefront(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storefront-api"));
    let output = command.args(arguments).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn help_lists_the_variables_and_starts_nothing() {
    let (code, help, error) = storefront(&["--help"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for variable in storefront_api::VARIABLES {
        assert!(help.contains(variable.name), "{} in {help}", variable.name);
    }
    assert!(storefront(&["--version"]).1.starts_with("storefront-api "));
}

#[test]
fn an_unknown_option_is_refused() {
    let (code, out, error) = storefront(&["--nonsense"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
}
