//! Whose account a server runs under. PostgreSQL refuses to run as root, so root lends it another.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::ServiceError;
use crate::process;

/// The accounts that root lends to PostgreSQL, by liking.
const LENT: [&str; 2] = ["postgres", "nobody"];

/// The account under which a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// Our own.
    Own,
    /// Another one, since we are root.
    Lent { name: String, uid: u32, gid: u32 },
}

/// The number of the account that we run under.
pub(crate) fn own_uid() -> Result<u32, ServiceError> {
    let process = fs::metadata("/proc/self").map_err(ServiceError::io("read /proc/self"))?;
    Ok(process.uid())
}

impl Account {
    /// The account for PostgreSQL: ours, unless we are root.
    pub(crate) fn for_postgres() -> Result<Self, ServiceError> {
        if own_uid()? != 0 {
            return Ok(Self::Own);
        }
        let accounts =
            fs::read_to_string("/etc/passwd").map_err(ServiceError::io("read /etc/passwd"))?;
        LENT.iter().find_map(|name| entry(&accounts, name)).ok_or(ServiceError::NotInstalled {
            program: "an account for PostgreSQL",
            package: "postgresql",
        })
    }

    /// A command under this account, from the root directory (ours may be closed to it). With
    /// `death_signal` the kernel sends it that signal when we die, however we die.
    pub(crate) fn command(&self, program: &Path, death_signal: Option<&str>) -> Command {
        let mut command = Command::new("setpriv");
        if let Self::Lent { name, uid: _, gid } = self {
            command.args([
                &format!("--reuid={name}"),
                &format!("--regid={gid}"),
                "--init-groups",
                "--reset-env",
            ]);
        }
        match death_signal {
            Some(signal) => command.arg(format!("--pdeathsig={signal}")),
            None => command.arg("--pdeathsig=clear"),
        };
        command.arg("--").arg(program).current_dir("/");
        command
    }

    /// Makes `dir` if need be, as this account's own and closed to others.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<(), ServiceError> {
        let what = || format!("make {}", dir.display());
        fs::create_dir_all(dir).map_err(ServiceError::io(what()))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(ServiceError::io(what()))?;
        match self {
            Self::Own => Ok(()),
            Self::Lent { uid, gid, .. } => {
                chown(dir, Some(*uid), Some(*gid)).map_err(ServiceError::io(what()))
            }
        }
    }

    /// Makes sure that this account can get to `dir`.
    pub(crate) async fn reaches(&self, dir: &Path) -> Result<(), ServiceError> {
        let Self::Lent { name, .. } = self else {
            return Ok(());
        };
        let mut look = self.command(Path::new("test"), None);
        look.arg("-x").arg(dir);
        process::run(look, "look into the directory").await.map_err(|_closed| {
            ServiceError::NotReachable { account: name.clone(), dir: dir.to_owned() }
        })
    }
}

fn entry(accounts: &str, wanted: &str) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == wanted)?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account::Lent { name: name.to_owned(), uid, gid })
    })
}

/// Makes `dir`, passable for the account a server in it runs under but not readable, and says where
/// it really lies.
pub(crate) fn make_passable(dir: &Path) -> Result<PathBuf, ServiceError> {
    let what = || format!("make {}", dir.display());
    fs::create_dir_all(dir).map_err(ServiceError::io(what()))?;
    let mode = if own_uid()? == 0 { 0o711 } else { 0o700 };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).map_err(ServiceError::io(what()))?;
    dir.canonicalize().map_err(ServiceError::io(what()))
}

/// Where a program is: the first of `folders` that has it, else wherever `PATH` finds it.
pub(crate) fn program_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&in_path))
        .map(|folder| folder.join(name))
        .find(|candidate| is_program(candidate).unwrap_or(false))
}

fn is_program(candidate: &Path) -> io::Result<bool> {
    let file = fs::metadata(candidate)?;
    Ok(file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\n\
        nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
        postgres-old:x:7:7::/:/bin/sh\n";

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        assert_eq!(entry(ACCOUNTS, "postgres"), None);
        let nobody = Account::Lent { name: "nobody".to_owned(), uid: 65534, gid: 65533 };
        assert_eq!(entry(ACCOUNTS, "nobody"), Some(nobody));
    }
}
