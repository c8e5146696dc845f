//! SIGUSR2: a new process of the program, as it now lies on the disk, takes over.
//!
//! [`super::handover`] has what the two say to each other. Here is the elder's part, up to the moment when
//! the newcomer is ready; until then nothing has changed, whatever becomes of the newcomer. Also that of the
//! process between them, which starts the newcomer and ends ([`Part`]).

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::handover::{self, Heard, Letter, Part, Wish, Word};

/// A newcomer that is not ready after this long is ended. It gives up by itself before.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// From the word that it shall serve until it does: it starts threads, and no more.
const SERVING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of the starter is waited for once it has nothing more to do.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why no other process took over.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The program cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Its path.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It has ended, and has said why in its log.
    #[error("the new process has ended{}; it has logged why", in_brackets(.0.as_ref()))]
    Ended(Option<ExitStatus>),
    /// It was not ready in time.
    #[error("the new process was not ready within {READY_TIMEOUT:?}")]
    NotReady,
    /// The two did not understand each other.
    #[error("the new process: {0}")]
    Link(#[from] io::Error),
}

/// How the program was started, to start it in the same way again.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// By what the process was told: not by what it is, since another file may lie there by now, to which
    /// a symbolic link may lead.
    pub fn of_this_process() -> Self {
        let mut arguments = env::args_os();
        let name = arguments.next().unwrap_or_else(|| "lagwise".into());
        Self { path: to_path(&name), arguments: arguments.collect() }
    }
}

/// A name with a slash is a path; another is looked for in PATH, as the shell did.
fn to_path(name: &OsString) -> PathBuf {
    let path = Path::new(name);
    if path.components().count() < 2 {
        return path.to_path_buf();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A process that is to take over.
#[derive(Debug)]
pub struct Newcomer {
    process: Process,
    link: tokio::net::UnixStream,
    heard: Heard,
}

/// It is ended when this is dropped before it serves.
#[derive(Debug)]
struct Process {
    starter: Child,
    /// Its process id and a descriptor of it, once it has begun.
    newcomer: Option<(u32, OwnedFd)>,
    serves: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.serves {
            // Most likely each has ended by itself.
            let _ = self.starter.kill();
            if let Some((_, newcomer)) = &self.newcomer {
                let _ = pidfd_send_signal(newcomer, Signal::KILL);
            }
        }
        let _ = self.starter.wait();
    }
}

fn in_brackets(status: Option<&ExitStatus>) -> String {
    status.map(|status| format!(" ({status})")).unwrap_or_default()
}

/// Starts this same program as the newcomer, and is done.
///
/// # Errors
/// It cannot be started.
pub fn start_newcomer() -> io::Result<()> {
    let program = Program::of_this_process();
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).env(handover::VARIABLE, Part::Newcomer.as_str());
    // It is nobody's child from now on, which is what this process is for.
    command.spawn().map(drop)
}

/// Starts the program and waits until it is ready to serve.
///
/// # Errors
/// See [`UpgradeError`]; the new process has ended then.
pub async fn start(
    program: Program,
    mut letter: Letter,
    descriptors: Vec<OwnedFd>,
) -> Result<Newcomer, UpgradeError> {
    let (link, theirs) = UnixStream::pair()?;
    let starter = Command::new(&program.path)
        .args(&program.arguments)
        .env(handover::VARIABLE, Part::Starter.as_str())
        // About the elder's own descriptors and process id.
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDNAMES")
        .env_remove("WATCHDOG_PID")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .map_err(|source| UpgradeError::Start {
            program: program.path.display().to_string(),
            source,
        })?;
    tracing::info!(starter = starter.id(), "a new process is being started to take over");
    let mut process = Process { starter, newcomer: None, serves: false };
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let ready = async {
        letter.send(&link, &descriptors)?;
        link.set_nonblocking(true)?;
        let link = tokio::net::UnixStream::from_std(link)?;
        process.has_begun(handover::begun(&link, READY_TIMEOUT).await?)?;
        handover::expect(&link, Word::Ready, READY_TIMEOUT).await?;
        Ok(link)
    };
    match ready.await {
        Ok(link) => Ok(Newcomer { process, link, heard: Heard::default() }),
        Err(error) => Err(process.failed(error).await),
    }
}

impl Newcomer {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.newcomer.as_ref().map_or(0, |(pid, _)| *pid)
    }

    /// Has it serve, and waits until it does.
    ///
    /// # Errors
    /// It has ended instead, or does not answer.
    pub async fn go(mut self) -> Result<Self, UpgradeError> {
        let said = self.link.try_write(&[Word::Go as u8]).map(drop);
        let answer = match said {
            Ok(()) => handover::expect(&self.link, Word::Serving, SERVING_TIMEOUT).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => {
                self.process.serves = true;
                // It has ended by now, or is about to: the newcomer must be nobody's child when systemd
                // is told of it.
                let _ = self.process.starter_ended().await;
                Ok(self)
            }
            Err(error) => Err(self.process.failed(error).await),
        }
    }

    /// What it wants of this process next, which it has taken over from; never returns if it has ended.
    /// Nothing is lost if this is dropped before it returns.
    pub async fn next_wish(&mut self) -> Wish {
        match self.heard.next(&self.link).await {
            Ok(wish) => wish,
            Err(error) => {
                tracing::warn!(pid = self.pid(), %error, "the process that took over has ended");
                std::future::pending().await
            }
        }
    }

    /// Returns when it wants this process to end; never if it has ended itself.
    pub async fn wants_stop(&mut self) {
        while self.next_wish().await != Wish::Stop {}
    }
}

impl Process {
    fn has_begun(&mut self, pid: u32) -> io::Result<()> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("no process id"))?;
        self.newcomer = Some((pid, pidfd_open(id, PidfdFlags::empty())?));
        tracing::info!(pid, "a new process has begun, to take over");
        Ok(())
    }

    /// The exit status of the starter, which ends as soon as the newcomer has begun.
    async fn starter_ended(&mut self) -> Result<ExitStatus, tokio::time::error::Elapsed> {
        let exit = async {
            loop {
                if let Ok(Some(status)) = self.starter.try_wait() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(EXIT_TIMEOUT, exit).await
    }

    /// What to say when the conversation ended with this error.
    async fn failed(&mut self, error: io::Error) -> UpgradeError {
        if error.kind() == io::ErrorKind::TimedOut {
            return UpgradeError::NotReady;
        }
        match self.starter_ended().await {
            // Of the newcomer itself nothing is known but that.
            Ok(status) => UpgradeError::Ended(Some(status).filter(|it| !it.success())),
            Err(_) => UpgradeError::Link(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_absolute_and_a_name_is_not() {
        assert_eq!(to_path(&"lagwise".into()), Path::new("lagwise"));
        assert_eq!(to_path(&"/usr/bin/lagwise".into()), Path::new("/usr/bin/lagwise"));
        let here = env::current_dir().unwrap_or_default();
        assert_eq!(to_path(&"./target/lagwise".into()), here.join("target/lagwise"));
    }
}
