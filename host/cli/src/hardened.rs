//! Dropped privileges of a server once it listens: files that are not its own, programs, sockets,
//! other processes.
//!
//! A second wall behind the sandbox: code that an attacker runs in this process all the same,
//! through a defect in a decoder, say, has few rights. docs/security.md lists the remaining ones.

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

use super::Failure;

/// The kernel's interface that is asked for; an older kernel enforces less of it.
const WANTED: ABI = ABI::V6;

/// Files and ports that a server needs.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Folders that are written: prepared models, uploads.
    pub(crate) written: Vec<PathBuf>,
    /// Files that are read once or, after SIGHUP, again.
    pub(crate) read: Vec<PathBuf>,
    /// Addresses that are listened on.
    pub(crate) listen: Vec<SocketAddr>,
}

impl Needs {
    /// The files and, since they may be replaced by others of their names, their folders; behind
    /// symbolic links too.
    fn read(&self) -> Vec<PathBuf> {
        let folders = |path: &PathBuf| {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            [path.clone(), real].map(|path| {
                path.parent()
                    .filter(|folder| !folder.as_os_str().is_empty())
                    .unwrap_or(Path::new("."))
                    .to_owned()
            })
        };
        let own = Path::new("/proc/self").to_owned();
        self.read.iter().flat_map(folders).chain([own]).collect()
    }
}

/// Gives up all files but those that are needed, connecting to others, and listening elsewhere. To
/// be called before there is another thread: it holds for this one, and those that it starts.
pub(crate) fn restrict_files(needs: &Needs) -> Result<(), Failure> {
    for folder in &needs.written {
        // A rule is for a folder that is there.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    }
    let status = rules(needs)
        .map_err(|error| Failure::new(format!("cannot give up files ({error}); leave out --hardened")))?;
    match status {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            tracing::warn!(
                "this kernel can give up only a part of what --hardened asks for; a newer one gives up all"
            );
        }
        RulesetStatus::NotEnforced => {
            return Err(Failure::new(
                "this kernel has no Landlock, which --hardened needs; leave out --hardened, or use Linux 5.13 or newer",
            ));
        }
    }
    Ok(())
}

fn rules(needs: &Needs) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Refer;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules(needs.read(), read))?
        .add_rules(path_beneath_rules(&needs.written, write))?;
    for address in &needs.listen {
        rules = rules.add_rule(NetPort::new(address.port(), AccessNet::BindTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// System calls that a server does not need once it listens. They fail with `EPERM`.
const GIVEN_UP: &[i64] = &[
    // Other programs and processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_personality,
    // New sockets; connections are accepted on those that are there.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    // Parts of the kernel in which defects were found more often than elsewhere.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Rights, namespaces, file systems.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Gives up system calls, in all threads.
pub(crate) fn restrict_calls() -> Result<(), Failure> {
    let failed =
        |error: String| Failure::new(format!("cannot give up system calls ({error}); leave out --hardened"));
    let architecture = std::env::consts::ARCH.try_into().map_err(|error| failed(format!("{error}")))?;
    let calls = GIVEN_UP.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(io_error());
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refuse, architecture);
    let program: BpfProgram =
        filter.and_then(TryInto::try_into).map_err(|error| failed(error.to_string()))?;
    apply_filter_all_threads(&program).map_err(|error| failed(error.to_string()))
}

/// `EPERM`.
fn io_error() -> u32 {
    io::Error::from(rustix::io::Errno::PERM).raw_os_error().unwrap_or(1).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// Tests run in a process each: nothing else is restricted.
    #[test]
    fn rights_that_are_not_needed_are_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        fs::create_dir(in_folder("etc")).unwrap();
        fs::write(in_folder("etc/configuration"), "it").unwrap();
        fs::write(in_folder("secret"), "it").unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let needs = Needs {
            written: vec![in_folder("cache")],
            read: vec![in_folder("etc/configuration")],
            listen: vec!["127.0.0.1:0".parse().unwrap()],
        };
        let denied = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
        assert!(Command::new("true").status().unwrap().success());
        restrict_files(&needs).map_err(|failure| failure.message).unwrap();

        assert_eq!(fs::read_to_string(in_folder("etc/configuration")).unwrap(), "it");
        assert!(File::open("/proc/self/pagemap").is_ok());
        fs::write(in_folder("cache/model"), "it").unwrap();
        fs::rename(in_folder("cache/model"), in_folder("cache/other")).unwrap();
        fs::remove_file(in_folder("cache/other")).unwrap();
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        for path in ["secret", "etc/../secret"] {
            assert!(denied(File::open(in_folder(path)).unwrap_err()), "{path}");
        }
        assert!(denied(File::open("/etc/passwd").unwrap_err()));
        assert!(denied(fs::write(in_folder("etc/configuration"), "other").unwrap_err()));
        assert!(denied(fs::write(in_folder("new"), "it").unwrap_err()));
        assert!(denied(TcpStream::connect(elsewhere.local_addr().unwrap()).unwrap_err()));
        assert!(denied(Command::new("true").status().unwrap_err()));

        restrict_calls().map_err(|failure| failure.message).unwrap();
        assert!(denied(TcpListener::bind("127.0.0.1:0").unwrap_err()));
        // Threads that exist already are included.
        let other = std::thread::spawn(|| TcpListener::bind("127.0.0.1:0").unwrap_err());
        assert!(denied(other.join().unwrap()));
        assert!(own.local_addr().is_ok());
    }
}
