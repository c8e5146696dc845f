//! Packets out of a byte stream, however it is cut: what arrives in pieces is read as what arrives
//! at once would be, and reading stops where it must.
#![no_main]

use lagwise::net::{PacketStream, ReadError, Socket, Transport};
use lagwise::protocol::Command;
use lagwise::protocol::frame::{HEADER_LEN, Header, split_frame};
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

const MAX_INPUT: usize = 8 << 10;
/// Bound on a payload, low enough that inputs exceed it.
const LIMIT: usize = 512;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    if bytes.len() > MAX_INPUT {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (writer, reader) = UnixStream::pair().unwrap();
        let stream = PacketStream::new(Transport::Plain(Socket::Unix(reader)));
        tokio::join!(write(writer, bytes, usize::from(piece) + 1), read(stream, bytes));
    });
});

async fn write(mut writer: UnixStream, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        // The reader may have had enough.
        if writer.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn read(mut stream: PacketStream, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let got = stream.packet(LIMIT).await;
        match (Header::parse(rest), split_frame(rest)) {
            (Some(header), _) if header.len > LIMIT => {
                assert!(matches!(got, Err(ReadError::TooLarge { len, .. }) if len == header.len));
                return;
            }
            (_, Some((header, payload))) => {
                let (seq, got) = got.unwrap();
                assert_eq!((seq, &got[..]), (header.seq, payload));
                let _ = Command::parse(payload);
                rest = &rest[HEADER_LEN + header.len..];
            }
            _ if rest.is_empty() => return assert!(matches!(got, Err(ReadError::Closed))),
            _ => return assert!(matches!(got, Err(ReadError::Truncated))),
        }
    }
}
