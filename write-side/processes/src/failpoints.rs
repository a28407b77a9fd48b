//! Places where a test may kill the process or turn it back: compiled in with the feature
//! `failpoints` alone, nothing otherwise.
//!
//! `FAILPOINTS=relay::before_record=abort` in the environment of the `worker` ends the process there
//! at once, without unwinding or flushing, as `kill -9` would. `name=return` makes the relay drop
//! the row at that place, as if its task had died. Several are separated by semicolons.

/// Whether the place `name` is to be left as if the worker had died there.
#[cfg(feature = "failpoints")]
pub(crate) fn is_hit(name: &'static str) -> bool {
    fail::eval(name, |_argument| ()).is_some()
}

/// Whether the place `name` is to be left as if the worker had died there.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn is_hit(_name: &'static str) -> bool {
    false
}

/// Sets the failpoints that `script` names; for `main`.
///
/// # Errors
/// An entry that is not `name=action`.
#[cfg(feature = "failpoints")]
pub fn configure(script: &str) -> Result<(), String> {
    for entry in script.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, action) = entry.split_once('=').ok_or_else(|| format!("{entry}: no action"))?;
        match action {
            "abort" => fail::cfg_callback(name, || std::process::abort())?,
            other => fail::cfg(name, other)?,
        }
    }
    Ok(())
}
