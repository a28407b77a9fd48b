//! Rebuilds this crate when a migration is added or edited: refinery embeds them at compile time,
//! and cargo does not know the folder.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
