//! The header of the PROXY protocol, versions 1 and 2: what a proxy before lagwise says of its client.
//!
//! It comes before all else that is sent. Nothing behind it may be taken from the socket with it (what
//! follows may be the beginning of TLS), so [`step`] says how many more bytes are the header's for
//! certain, and a caller reads no more than those. The header's own syntax is read by the crate `ppp`.
//!
//! HAProxy, "The PROXY protocol, versions 1 & 2".

use std::net::SocketAddr;

use super::reader::Malformed;

/// The first four bytes of a header. No packet of MySQL's begins so: as a frame's header they say 5 MB,
/// or 800 kB, and a sequence id that no client begins with.
pub const BEGIN_LEN: usize = 4;

const SIGNATURE_1: &[u8] = b"PROXY";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The shortest header of version 1: `PROXY UNKNOWN` and the end of the line.
const LEAST_1: usize = 15;
/// The longest, by the specification.
const MOST_1: usize = 107;
/// Signature, version and command, family, and the length of the rest.
const HEAD_2: usize = 16;
/// The longest of version 2 that is taken, in bytes: addresses take 52, and what proxies add (TLS names,
/// identifiers) some hundreds.
const MOST_2: usize = 4096;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read at most so many bytes more, at least 1.
    Read(usize),
    /// The header is whole.
    Done(Said),
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The client is here.
    Client(SocketAddr),
    /// Nothing: the proxy speaks for itself (LOCAL), or knows no address of TCP (UNKNOWN).
    Nothing,
}

/// Whether the first [`BEGIN_LEN`] bytes of a connection are those of a header.
pub fn begins(bytes: &[u8]) -> bool {
    let begins = |signature: &[u8]| signature.get(..BEGIN_LEN) == bytes.get(..BEGIN_LEN);
    bytes.len() >= BEGIN_LEN && (begins(SIGNATURE_1) || begins(SIGNATURE_2))
}

/// Looks at what has come of a header, nothing behind it.
///
/// # Errors
/// It is none, or longer than it may be.
pub fn step(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.len() < BEGIN_LEN {
        Ok(Step::Read(BEGIN_LEN - bytes.len()))
    } else if is_prefix(bytes, SIGNATURE_2) {
        step_2(bytes)
    } else if is_prefix(bytes, SIGNATURE_1) {
        step_1(bytes)
    } else {
        Err(Malformed("PROXY header"))
    }
}

/// Whether the two agree as far as the shorter goes.
fn is_prefix(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

fn step_1(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.len() < LEAST_1 {
        return Ok(Step::Read(LEAST_1 - bytes.len()));
    }
    if !bytes.ends_with(b"\r\n") {
        // The next byte may be the last.
        return if bytes.len() < MOST_1 {
            Ok(Step::Read(1))
        } else {
            Err(Malformed("PROXY header"))
        };
    }
    let header = ppp::v1::Header::try_from(bytes).map_err(|_| Malformed("PROXY header"))?;
    Ok(Step::Done(match header.addresses {
        ppp::v1::Addresses::Unknown => Said::Nothing,
        ppp::v1::Addresses::Tcp4(tcp) => Said::Client((tcp.source_address, tcp.source_port).into()),
        ppp::v1::Addresses::Tcp6(tcp) => Said::Client((tcp.source_address, tcp.source_port).into()),
    }))
}

fn step_2(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some([high, low]) = bytes.get(HEAD_2 - 2..HEAD_2) else {
        return Ok(Step::Read(HEAD_2 - bytes.len()));
    };
    let len = HEAD_2 + usize::from(u16::from_be_bytes([*high, *low]));
    if len > MOST_2 {
        return Err(Malformed("PROXY header of over 4096 bytes"));
    }
    if bytes.len() < len {
        return Ok(Step::Read(len - bytes.len()));
    }
    let header = ppp::v2::Header::try_from(bytes).map_err(|_| Malformed("PROXY header"))?;
    Ok(Step::Done(match (header.command, header.addresses) {
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(ip)) => {
            Said::Client((ip.source_address, ip.source_port).into())
        }
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(ip)) => {
            Said::Client((ip.source_address, ip.source_port).into())
        }
        _ => Said::Nothing,
    }))
}

/// A header of version 2 that says that the client is at `client`, and that it came to `to`. The two are
/// of one family; a client of another is put into the clothes of IPv6 with its destination.
pub fn write(client: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut out = SIGNATURE_2.to_vec();
    out.push(0x21); // version 2, PROXY
    match (client, to) {
        (SocketAddr::V4(client), SocketAddr::V4(to)) => {
            out.extend_from_slice(&[0x11, 0, 12]); // TCP over IPv4, int<2> length
            out.extend_from_slice(&client.ip().octets());
            out.extend_from_slice(&to.ip().octets());
        }
        (client, to) => {
            out.extend_from_slice(&[0x21, 0, 36]); // TCP over IPv6
            out.extend_from_slice(&v6(client).octets());
            out.extend_from_slice(&v6(to).octets());
        }
    }
    out.extend_from_slice(&client.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out
}

fn v6(address: SocketAddr) -> std::net::Ipv6Addr {
    match address {
        SocketAddr::V4(address) => address.ip().to_ipv6_mapped(),
        SocketAddr::V6(address) => *address.ip(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a header as a caller does: never more than it is told to. What is left of `bytes`, too.
    fn read(bytes: &[u8]) -> Result<(Said, &[u8]), &'static str> {
        let mut taken = 0;
        loop {
            match step(&bytes[..taken]).map_err(|_| "malformed")? {
                Step::Done(said) => return Ok((said, &bytes[taken..])),
                Step::Read(0) => return Err("reads nothing"),
                Step::Read(_) if taken == bytes.len() => return Err("more"),
                Step::Read(count) => taken = bytes.len().min(taken + count),
            }
        }
    }

    fn client(text: &str) -> Said {
        Said::Client(text.parse().unwrap())
    }

    #[test]
    fn headers() {
        let check = |bytes: &[u8], want: Result<Said, &str>| {
            let mut more = bytes.to_vec();
            more.extend_from_slice(b"\x20\0\0\x01");
            let got = read(&more).map(|(said, rest)| {
                assert_eq!(rest, b"\x20\0\0\x01", "nothing behind it is taken");
                said
            });
            assert_eq!(got, want, "{:?}", String::from_utf8_lossy(bytes));
            assert!(want.is_err() || begins(bytes));
        };
        check(b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 3306\r\n", Ok(client("192.0.2.1:56324")));
        check(b"PROXY TCP6 2001:db8::1 ::1 56324 3306\r\n", Ok(client("[2001:db8::1]:56324")));
        check(b"PROXY UNKNOWN\r\n", Ok(Said::Nothing));
        check(b"PROXY UNKNOWN ::1 ::1 1 1\r\n", Ok(Said::Nothing));
        for bad in [
            &b"PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n"[..],
            b"PROXY TCP4 192.0.2.256 10.0.0.1 56324 3306\r\n",
            b"PROXY TCP4 2001:db8::1 10.0.0.1 56324 3306\r\n",
            b"PROXY TCP5 192.0.2.1 10.0.0.1 56324 3306\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 3306\r\n",
            b"PROXY \xff\xfe 192.0.2.1 10.0.0.1 65536 3306\r\n",
            b"PROXX TCP4 192.0.2.1 10.0.0.1 56324 3306\r\n",
            b"\x20\0\0\x01",
        ] {
            check(bad, Err("malformed"));
        }
        check(&[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(), Err("malformed"));
        let v4 = write("192.0.2.1:5000".parse().unwrap(), "10.0.0.1:3306".parse().unwrap());
        check(&v4, Ok(client("192.0.2.1:5000")));
        let v6 = write("[2001:db8::1]:5000".parse().unwrap(), "[::1]:3306".parse().unwrap());
        check(&v6, Ok(client("[2001:db8::1]:5000")));
        let local = [SIGNATURE_2, &[0x20, 0, 0, 0]].concat();
        check(&local, Ok(Said::Nothing));
        let unix = [SIGNATURE_2, &[0x21, 0x31, 0, 216], &[b'/'; 216]].concat();
        check(&unix, Ok(Said::Nothing));
        let mut with_more = v4.clone();
        with_more[15] += 5;
        with_more.extend_from_slice(&[0x20, 0, 2, 1, 1]);
        check(&with_more, Ok(client("192.0.2.1:5000")));
        check(&[SIGNATURE_2, &[0x21, 0x11, 0xff, 0xff]].concat(), Err("malformed"));
        check(&[SIGNATURE_2, &[0x31, 0x11, 0, 0]].concat(), Err("malformed"));
        check(&[SIGNATURE_2, &[0x21, 0x11, 0, 4, 1, 2, 3, 4]].concat(), Err("malformed"));
    }

    #[test]
    fn a_mixed_pair_is_told_as_ipv6() {
        let header = write("192.0.2.1:5000".parse().unwrap(), "[::1]:3306".parse().unwrap());
        assert_eq!(read(&header).unwrap().0, client("[::ffff:192.0.2.1]:5000"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            begin in prop_oneof![Just(SIGNATURE_1), Just(SIGNATURE_2), Just(&b""[..])],
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [begin, &bytes].concat();
            if let Ok((_, rest)) = read(&bytes) {
                prop_assert!(bytes.len() - rest.len() <= MOST_2);
            }
        }

        #[test]
        fn what_is_written_is_read(client: SocketAddr, to: SocketAddr, more: Vec<u8>) {
            let bytes = [write(client, to), more.clone()].concat();
            let (said, rest) = read(&bytes).unwrap();
            prop_assert_eq!(rest, &more[..]);
            let Said::Client(said) = said else { panic!("nothing is said") };
            prop_assert_eq!(said.ip().to_canonical(), client.ip().to_canonical());
            prop_assert_eq!(said.port(), client.port());
        }
    }
}
