//! The classifier: any bytes in any mode are survived, a read never writes, and neither the case of
//! letters nor a comment in front changes what a statement is, or what it is counted as.
#![no_main]

use lagwise::sql::{
    ClientCharset, Flags, LexMode, Make, Statement, classify, digest_text, fingerprint,
    kill_target, read_tables, session_key, shape, table_names, words, written_table,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[how, charset], sql)) = data.split_first_chunk::<2>() else { return };
    let mode = mode(how, charset);
    let statement = classify(sql, &mode);
    assert!(!(statement.is_read() && statement.may_write()));
    let _ = kill_target(sql, &mode);
    check_names(sql, &mode);

    // The characters whose case the servers regard: escapes, 0x and 0b, the tags of dollar quotes,
    // and the M of MariaDB's own comments.
    let plain = !sql.iter().any(|byte| b"\\$".contains(byte))
        && !has(sql, b"0x")
        && !has(sql, b"0b")
        && !has(sql, b"/*M");
    if plain && sql.is_ascii() {
        let upper = classify(&sql.to_ascii_uppercase(), &mode);
        let lower = classify(&sql.to_ascii_lowercase(), &mode);
        assert_eq!(essence(&upper), essence(&lower));
        assert_eq!(
            fingerprint(&sql.to_ascii_uppercase(), &mode),
            fingerprint(&sql.to_ascii_lowercase(), &mode)
        );
    }
    let commented = [b"\n/* a 'comment */ ", sql].concat();
    assert_eq!(essence(&classify(&commented, &mode)), essence(&statement));
    assert_eq!(digest_text(&commented, &mode), digest_text(sql, &mode));
    assert_eq!(fingerprint(&commented, &mode), fingerprint(sql, &mode));
    check_shape(sql, &mode);
});

/// With other digits the shape is another, or the fingerprint is the same; and that of the other half of the
/// input, if it happens to have the same shape.
fn check_shape(sql: &[u8], mode: &LexMode) {
    let Some(found) = shape(sql) else { return };
    let other_digits = |byte: &u8| if byte.is_ascii_digit() { b'0' + (byte + 1) % 10 } else { *byte };
    let other_letters = |byte: &u8| if *byte == b'x' { b'7' } else { *byte };
    let others: [Vec<u8>; 2] =
        [sql.iter().map(other_digits).collect(), sql.iter().map(other_letters).collect()];
    for other in others {
        if shape(&other) == Some(found) {
            assert_eq!(fingerprint(&other, mode), fingerprint(sql, mode));
        }
    }
}

/// What a query reads, or a plain write writes, is among the names of the text.
fn check_names(sql: &[u8], mode: &LexMode) {
    let (mut all, mut read) = (Vec::new(), Vec::new());
    let clear = table_names(sql, mode, |schema, name| all.push((schema, name))).is_ok();
    let read_clear = read_tables(sql, mode, |schema, name| read.push((schema, name))).is_ok();
    let _ = (words(sql, mode, |_| {}), session_key(sql, mode));
    if clear && read_clear {
        assert!(read.iter().all(|table| all.contains(table)));
    }
    // It looks at the beginning alone.
    if let Some(table) = written_table(sql, mode)
        && clear
    {
        assert!(all.contains(&table));
    }
}

fn has(sql: &[u8], what: &[u8]) -> bool {
    sql.windows(what.len()).any(|window| window.eq_ignore_ascii_case(what))
}

/// What a statement is without its hint, which must be the first comment, and the places of names.
fn essence(statement: &Statement) -> (String, Flags, usize, bool, bool) {
    (
        format!("{:?}", statement.kind),
        statement.flags - Flags::BAD_HINT,
        statement.unknown_functions().count(),
        statement.is_read(),
        statement.may_write(),
    )
}

fn mode(how: u8, charset: u8) -> LexMode {
    let (make, server_version) =
        if how & 1 == 0 { (Make::MySql, 90_700) } else { (Make::MariaDb, 101_114) };
    LexMode {
        ansi_quotes: how & 2 != 0,
        no_backslash_escapes: how & 4 != 0,
        ignore_space: how & 8 != 0,
        make,
        server_version: if how & 16 == 0 { server_version } else { 0 },
        charset: match charset % 7 {
            0 => ClientCharset::AsciiSafe,
            1 => ClientCharset::Utf8,
            2 => ClientCharset::Gbk,
            3 => ClientCharset::Gb18030,
            4 => ClientCharset::Sjis,
            5 => ClientCharset::Cp932,
            _ => ClientCharset::Big5,
        },
    }
}
