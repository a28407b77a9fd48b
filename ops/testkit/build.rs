//! Names the set of migrations that this build was made with, so that a template database made from
//! another set is never taken for ours.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    // Relative to this crate, where cargo runs us: a checkout that shares another one's target
    // directory must look into its own folder.
    let folder = Path::new("../../schema/migrations");
    let mut hasher = DefaultHasher::new();
    let mut count = 0_usize;
    if folder.is_dir() {
        let mut files: Vec<_> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|ending| ending == "sql"));
        files.sort();
        count = files.len();
        for file in files {
            file.file_name().hash(&mut hasher);
            fs::read(&file)?.hash(&mut hasher);
        }
    }
    let digest = hasher.finish();
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rustc-env=MIGRATIONS_DIGEST={digest:016x}");
    println!("cargo::rustc-env=MIGRATIONS_COUNT={count}");
    Ok(())
}
