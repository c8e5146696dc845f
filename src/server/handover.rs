//! How a running process (the *elder*) and the one that takes over from it (the *newcomer*) talk.
//!
//! The newcomer's standard input is one end of a pair of Unix sockets. Over it the elder passes its
//! listening sockets, so that there is no moment in which nobody listens, and a [`Letter`]. Then one byte
//! at a time ([`Word`]):
//!
//! ```text
//!   elder                                newcomer
//!         <───────────────────── Begun   has begun, as this process
//!   Letter, sockets ───────────────────> looks at the servers
//!         <───────────────────── Ready   could serve now
//!   has its reads ask the primary
//!   Go    ─────────────────────────────> accepts clients
//!         <─────────────────── Serving
//!   accepts no more; its sessions go on
//!         <──────────── Reload, Drained   its configuration, or what is drained, has changed
//!         <────────────────────── Stop   is being stopped itself
//! ```
//!
//! Until `Serving` the elder serves as if nothing were, and goes on doing so if the newcomer ends. The pair
//! stays open for as long as both live: its end tells either that the other has ended. A newcomer that is
//! replaced in its turn, while its elder still has sessions, passes that pair on, too.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::config::ListenAddress;
use crate::net::inherited::Inherited;
use crate::net::listen::Bound;

/// In the environment of what an elder starts: which [`Part`] it has.
pub const VARIABLE: &str = "LAGWISE_TAKES_OVER";

/// What a process is that an elder has started.
///
/// The newcomer must not be a child of the elder, or systemd takes it for a process that it need not wait
/// for: at a stop it would kill it with all its sessions (`main_pid_alien` in systemd's `service.c`; seen by
/// `tests/packaging/systemd.sh`). So the elder starts another process, which starts the newcomer and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Starts the newcomer.
    Starter,
    /// Takes over.
    Newcomer,
}

impl Part {
    /// That of this process, if an elder has started it.
    pub fn of_this_process() -> Option<Self> {
        let part = std::env::var_os(VARIABLE)?;
        Some(if part == Part::Starter.as_str() { Part::Starter } else { Part::Newcomer })
    }

    /// As the environment has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Starter => "start",
            Part::Newcomer => "1",
        }
    }
}

/// Of [`Letter`], should it ever change so that an older program cannot read it.
const FORMAT: u32 = 1;

/// Descriptors in one message; the kernel takes 253.
const MAX_DESCRIPTORS: usize = 200;

/// Bytes of a letter.
const MAX_LETTER: usize = 1 << 20;

/// Bytes of the names of all drained servers; what fits into a socket whose other side does not read.
const MAX_NAMES: usize = 64 << 10;

/// How long passing the letter may take.
const LETTER_TIMEOUT: Duration = Duration::from_secs(5);

/// One byte of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The newcomer has begun; its process id follows in four bytes.
    Begun = b'B' as isize,
    /// The newcomer could serve.
    Ready = b'R' as isize,
    /// It shall.
    Go = b'G' as isize,
    /// It does.
    Serving = b'S' as isize,
    /// The elder shall read its configuration again, as by SIGHUP.
    Reload = b'H' as isize,
    /// The names of all drained servers follow: their length in four bytes, and a list in JSON.
    Drained = b'D' as isize,
    /// The elder shall end, as by SIGTERM.
    Stop = b'T' as isize,
}

/// What the newcomer wants of an elder that it has taken over from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// See [`Word::Reload`].
    Reload,
    /// See [`Word::Drained`].
    Drained(Vec<String>),
    /// See [`Word::Stop`].
    Stop,
}

/// What the newcomer must know. The descriptors come with it, in this order.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Letter {
    /// Set when it is sent.
    pub format: u32,
    /// Each listening socket.
    pub sockets: Vec<SocketNote>,
    /// Processes that still serve sessions, besides the elder itself.
    pub elders: usize,
    /// Session ids of the newcomer start here, so that no KILL meets another's session.
    pub first_session: u32,
    /// Servers that are taken out for maintenance, by name.
    pub drained: Vec<String>,
}

/// A listening socket.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketNote {
    /// As it was configured.
    pub address: String,
    /// The file of this Unix socket is lagwise's, to be removed in the end.
    pub owns_file: bool,
}

impl SocketNote {
    /// What there is to say of a socket.
    pub fn of(bound: &Bound) -> Self {
        Self { address: bound.address().to_string(), owns_file: bound.owns_file() }
    }
}

/// What a newcomer gets.
#[derive(Debug)]
pub struct Estate {
    /// The listening sockets.
    pub inherited: Inherited,
    /// The processes that still serve sessions; the last is the elder itself.
    pub elders: Vec<UnixStream>,
    /// See [`Letter::first_session`].
    pub first_session: u32,
    /// See [`Letter::drained`].
    pub drained: Vec<String>,
    /// Unix sockets whose files are to be removed in the end.
    files: Vec<ListenAddress>,
}

impl Letter {
    /// Sends it with its descriptors.
    ///
    /// # Errors
    /// The other side has gone, or does not read, or there are more descriptors than can be passed.
    pub fn send(&mut self, link: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.format = FORMAT;
        let body = serde_json::to_vec(self)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let whole = [&length.to_be_bytes()[..], &body].concat();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many sockets to pass on"));
        }
        link.set_write_timeout(Some(LETTER_TIMEOUT))?;
        let sent = sendmsg(link, &[IoSlice::new(&whole)], &mut ancillary, SendFlags::empty())?;
        (&*link).write_all(whole.get(sent..).unwrap_or_default())
    }
}

/// What an elder passes on, if this process is a newcomer.
///
/// # Errors
/// Standard input is not what an elder gives, or the letter is not understood.
pub fn receive() -> io::Result<Option<Estate>> {
    if Part::of_this_process().is_none() {
        return Ok(None);
    }
    let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let pid = std::process::id().to_be_bytes();
    (&link).write_all(&[&[Word::Begun as u8][..], &pid].concat())?;
    read_letter(link).map(Some)
}

fn read_letter(mut link: UnixStream) -> io::Result<Estate> {
    link.set_read_timeout(Some(LETTER_TIMEOUT))?;
    let (mut length, mut descriptors) = ([0; 4], Vec::new());
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let got = recvmsg(&link, &mut [IoSliceMut::new(&mut length)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if got.bytes != 4 || length > MAX_LETTER {
        return Err(io::Error::other("the process before has sent no letter"));
    }
    let mut body = vec![0; length];
    link.read_exact(&mut body)?;
    let letter: Letter = serde_json::from_slice(&body)?;
    if letter.format != FORMAT || descriptors.len() != letter.sockets.len() + letter.elders {
        return Err(io::Error::other(
            "the process before is of a version that this one is not for",
        ));
    }
    Estate::new(letter, descriptors, link)
}

impl Estate {
    fn new(letter: Letter, descriptors: Vec<OwnedFd>, link: UnixStream) -> io::Result<Self> {
        let mut estate = Self {
            inherited: Inherited::default(),
            elders: Vec::new(),
            first_session: letter.first_session,
            drained: letter.drained,
            files: Vec::new(),
        };
        let mut descriptors = descriptors.into_iter();
        for (note, socket) in letter.sockets.iter().zip(descriptors.by_ref()) {
            let address: ListenAddress = note.address.parse().map_err(io::Error::other)?;
            if note.owns_file {
                estate.files.push(address.clone());
            }
            estate.inherited.add(socket, address);
        }
        estate.elders.extend(descriptors.map(UnixStream::from));
        estate.elders.push(link);
        Ok(estate)
    }

    /// The link to the elder.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn elder(&self) -> io::Result<UnixStream> {
        self.elders.last().ok_or(io::ErrorKind::NotConnected)?.try_clone()
    }

    /// The newcomer serves: what remains of the elder's is its own now. Addresses that it does not listen
    /// on are given up, with their files.
    pub fn settle<'a>(self, bound: impl Iterator<Item = &'a mut Bound>) {
        let mut bound: Vec<_> = bound.collect();
        for address in &self.files {
            match bound.iter_mut().find(|bound| bound.address() == address) {
                Some(bound) => bound.own_file(),
                None => remove_file(address),
            }
        }
    }
}

fn remove_file(address: &ListenAddress) {
    if let ListenAddress::Unix(path) = address {
        let path: &Path = path;
        // Nothing depends on it: a file that nobody listens on is replaced when it is wanted again.
        let _ = std::fs::remove_file(path);
    }
}

/// Waits for a word of the other side.
///
/// # Errors
/// It has ended, says something else, or says nothing for so long (`TimedOut`).
pub async fn expect(link: &tokio::net::UnixStream, word: Word, limit: Duration) -> io::Result<()> {
    match timeout(limit, listen(link)).await {
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
        Ok(Ok(said)) if said == word as u8 => Ok(()),
        Ok(Ok(_)) => Err(io::Error::other("an unexpected answer")),
        Ok(Err(error)) => Err(error),
    }
}

/// The process id of a newcomer that has begun.
///
/// # Errors
/// As of [`expect`].
pub async fn begun(link: &tokio::net::UnixStream, limit: Duration) -> io::Result<u32> {
    expect(link, Word::Begun, limit).await?;
    let mut pid = [0; 4];
    for byte in &mut pid {
        *byte = timeout(limit, listen(link)).await??;
    }
    Ok(u32::from_be_bytes(pid))
}

/// The next byte that the other side says.
///
/// # Errors
/// It has ended.
pub async fn listen(link: &tokio::net::UnixStream) -> io::Result<u8> {
    loop {
        link.readable().await?;
        let mut byte = [0];
        match link.try_read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What has been heard of wishes, of which the last may not be whole yet.
#[derive(Debug, Default)]
pub struct Heard(Vec<u8>);

impl Heard {
    /// The next wish. Nothing is lost if this is dropped before it returns.
    ///
    /// # Errors
    /// The other side has ended, or says what is no wish.
    pub async fn next(&mut self, link: &tokio::net::UnixStream) -> io::Result<Wish> {
        loop {
            if let Some(wish) = self.take()? {
                return Ok(wish);
            }
            self.0.push(listen(link).await?);
        }
    }

    /// Takes the first wish if it is whole.
    fn take(&mut self) -> io::Result<Option<Wish>> {
        let Some((word, rest)) = self.0.split_first() else { return Ok(None) };
        let (wish, length) = if *word == Word::Stop as u8 {
            (Wish::Stop, 1)
        } else if *word == Word::Reload as u8 {
            (Wish::Reload, 1)
        } else if *word == Word::Drained as u8 {
            let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            let length = u32::from_be_bytes(*length) as usize;
            if length > MAX_NAMES {
                return Err(io::Error::other("too many drained servers"));
            }
            let Some(names) = rest.get(..length) else { return Ok(None) };
            (Wish::Drained(serde_json::from_slice(names)?), 5 + length)
        } else {
            return Err(io::Error::other("an unknown word"));
        };
        self.0.drain(..length);
        Ok(Some(wish))
    }
}

/// Says which servers are drained.
///
/// # Errors
/// The other side has ended, or does not read, or there are too many.
pub fn say_drained(link: &UnixStream, names: &[String]) -> io::Result<()> {
    let names = serde_json::to_vec(names)?;
    let length = u32::try_from(names.len()).map_err(io::Error::other)?;
    if names.len() > MAX_NAMES {
        return Err(io::Error::other("too many drained servers"));
    }
    let whole = [&[Word::Drained as u8][..], &length.to_be_bytes(), &names].concat();
    (&*link).write_all(&whole)
}

/// Says a word. One byte has room if the other side lives.
///
/// # Errors
/// It has ended.
pub fn say(link: &UnixStream, word: Word) -> io::Result<()> {
    (&*link).write_all(&[word as u8])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_and_elders_arrive_in_their_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let (elder, elders_end) = UnixStream::pair().unwrap();
        let mut letter = Letter {
            sockets: vec![SocketNote { address: local.to_string(), owns_file: false }],
            elders: 1,
            first_session: 7,
            ..Letter::default()
        };
        letter.send(&ours, &[listener.as_fd(), elder.as_fd()]).unwrap();
        drop((listener, elder));
        let mut estate = read_letter(theirs).unwrap();
        assert_eq!((estate.first_session, estate.elders.len()), (7, 2));
        let bound = estate.inherited.take_or_bind(&ListenAddress::Tcp(local)).unwrap();
        assert_eq!(bound.local_address(), Some(local), "a second one could not be bound");
        say(&estate.elders[0], Word::Stop).unwrap();
        let mut said = [0];
        (&elders_end).read_exact(&mut said).unwrap();
        assert_eq!(said, [b'T']);
        drop(estate);
        assert_eq!((&elders_end).read(&mut said).unwrap(), 0, "its end is seen");
    }

    /// As they come, a byte at a time.
    #[test]
    fn wishes_are_heard_whole() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let names = vec!["a".to_owned(), "T\"H".to_owned()];
        say(&ours, Word::Reload).unwrap();
        say_drained(&ours, &names).unwrap();
        say_drained(&ours, &[]).unwrap();
        say(&ours, Word::Stop).unwrap();
        drop(ours);
        let (mut heard, mut wishes, mut byte) = (Heard::default(), Vec::new(), [0]);
        while (&theirs).read(&mut byte).unwrap() == 1 {
            heard.0.push(byte[0]);
            wishes.extend(heard.take().unwrap());
        }
        let expected = [Wish::Reload, Wish::Drained(names), Wish::Drained(Vec::new()), Wish::Stop];
        assert_eq!(wishes, expected);
        for bad in [&b"X"[..], b"D\xff\xff\xff\xff", b"D\0\0\0\x01{", b"D\0\0\0\x02{}"] {
            assert!(Heard(bad.to_vec()).take().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        for text in [&b"\0\0\0\x02{}"[..], b"\xff\xff\xff\xff", b"", b"\0\0\0\x01"] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(text).unwrap();
            drop(ours);
            assert!(read_letter(theirs).is_err(), "{text:?}");
        }
    }
}
