//! Quotes, comments, character sets and versions must not hide a word, nor invent one.

use super::*;

const ANSI: LexMode = LexMode { ansi_quotes: true, ..MYSQL };
const NO_ESCAPES: LexMode = LexMode { no_backslash_escapes: true, ..MYSQL };

#[test]
fn quotes() {
    check_both(&[
        (r"SELECT 'it''s FOR UPDATE'", Replica),
        (r"SELECT 'it\'s FOR UPDATE'", Replica),
        (r"SELECT 'a\\' FOR UPDATE", Primary),
        (r"SELECT 'a\\\' FOR UPDATE'", Replica),
        (r#"SELECT "a\" FOR UPDATE""#, Replica),
        (r#"SELECT "a"" FOR UPDATE""#, Replica),
        (r#"SELECT "'" FOR UPDATE"#, Primary),
        (r"SELECT `a``b FOR UPDATE`", Replica),
        (r"SELECT `a\` FOR UPDATE", Primary),
        (r"SELECT '' FOR UPDATE", Primary),
        (r"SELECT '''' FOR UPDATE", Primary),
        (r"SELECT N'a FOR UPDATE', _utf8mb4'b FOR UPDATE', x'41', b'01'", Replica),
        (r"SELECT 'a' 'b FOR UPDATE'", Replica),
        ("SELECT 'a\nFOR UPDATE'", Replica),
        ("SELECT 'a\0b'", Replica),
        ("SELECT `a\0b`", Replica),
        ("SELECT '-- ' FOR UPDATE", Primary),
        ("SELECT '/*' FOR UPDATE -- */'", Primary),
        ("SELECT '#' FOR UPDATE", Primary),
        ("SELECT 'a;DELETE FROM t'", Replica),
        ("SELECT 'a';DELETE FROM t", Writes),
    ]);
    for (mode, sql, expected) in [
        (&ANSI, r#"SELECT "a\" FOR UPDATE"#, Primary),
        (&MYSQL, r#"SELECT "a\" FOR UPDATE"#, Writes),
        (&ANSI, r#"SELECT "get_lock"('a', 1)"#, Primary),
        (&ANSI, r#"SELECT "f"(1)"#, Writes),
        (&ANSI, r#"SELECT * FROM "mysql"."user""#, Primary),
        (&MYSQL, r#"SELECT "mysql", "f" FROM t"#, Replica),
        (&ANSI, r#"SELECT @"a\" FOR UPDATE"#, Primary),
        (&NO_ESCAPES, r"SELECT 'a\' FOR UPDATE", Primary),
        (&MYSQL, r"SELECT 'a\' FOR UPDATE", Writes),
        (&NO_ESCAPES, r"SELECT 'a\'' FOR UPDATE'", Replica),
        (&NO_ESCAPES, r#"SELECT "a\", 'b FOR UPDATE'"#, Replica),
    ] {
        check(mode, sql, expected);
    }
}

#[test]
fn comments() {
    check_both(&[
        ("/* a */ SELECT 1", Replica),
        ("-- a\nSELECT 1", Replica),
        ("--\nSELECT 1", Replica),
        ("--\tSELECT 2\nSELECT 1", Replica),
        ("# a\nSELECT 1", Replica),
        ("/**/SELECT/**/1/**/", Replica),
        ("/***/SELECT 1/* **/", Replica),
        ("SELECT 1 /* FOR UPDATE */", Replica),
        ("SELECT 1 -- FOR UPDATE", Replica),
        ("SELECT 1 # FOR UPDATE", Replica),
        ("SELECT 1 --", Replica),
        ("SELECT 1 -- a\n FOR UPDATE", Primary),
        ("SELECT 1 --1 FOR UPDATE", Primary),
        ("SELECT 1 /* ' */ FOR UPDATE", Primary),
        ("SELECT 1 -- '\n FOR UPDATE", Primary),
        ("SELECT 1 /* /* */ FOR UPDATE", Primary),
        ("SELECT 1 /* -- */ FOR UPDATE", Primary),
        ("SELECT 1 -- /*\n FOR UPDATE -- */", Primary),
        ("SELECT 4/2, a*/* b */c", Replica),
        ("SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1", Replica),
        ("SELECT /*+ INDEX(`t` `i`) SET_VAR(sql_mode='') */ 1", Replica),
        ("SELECT /*+ QB_NAME(`a*/ 1", Writes),
        ("SELECT 1 -- a\0 FOR UPDATE", Writes),
        ("/* a", Writes),
    ]);
}

#[test]
fn version_comments() {
    let version = |make, server_version| LexMode { make, server_version, ..MYSQL };
    let my = |number| version(Make::MySql, number);
    let maria = |number| version(Make::MariaDb, number);
    for (mode, sql, expected) in [
        (my(90704), "SELECT 1 /*! FOR UPDATE */", Primary),
        (my(90704), "SELECT 1 /*!FOR UPDATE*/", Primary),
        (my(90704), "SELECT 1 /*!50000 FOR UPDATE */", Primary),
        (my(90704), "SELECT 1 /*!50000FOR UPDATE*/", Primary),
        (my(90704), "SELECT 1 /*!90704 FOR UPDATE */", Primary),
        (my(90704), "SELECT 1 /*!90705 FOR UPDATE */", Replica),
        (my(90704), "SELECT 1 /*!999999 FOR UPDATE */", Replica),
        (my(90704), "SELECT 1 FOR /*!80000 UPDATE */", Primary),
        (my(90704), "/*!80000 DELETE FROM t */", Writes),
        (my(50744), "/*!80000 DELETE FROM t */", Primary),
        (my(90704), "/*!80000 SELECT */ 1", Replica),
        (my(90704), "/*!99999 x */ SELECT 1", Replica),
        // The body is skipped to the end of the comment, comments inside included, once.
        (my(90704), "SELECT 1 /*!99999 /* a */ b */ FOR UPDATE", Primary),
        (my(90704), "SELECT 1 /*!99999 ' */ FOR UPDATE", Primary),
        (my(90704), "SELECT 1 /*!99999 /* a */ FOR UPDATE */", Replica),
        // Fewer than five digits are code.
        (my(90704), "SELECT /*!8000 , f(1) */", Writes),
        (my(90704), "SELECT /*!8000 */", Replica),
        // MySQL of old read five digits, of late six.
        (my(90704), "SELECT 1 /*!100100 + 1 */", Writes),
        (my(90704), "SELECT 1 /*!080000 + 1 */", Replica),
        // Comments in code: the servers disagree on the end.
        (my(90704), "SELECT 1 /*!80000 + /* a */ 1 */", Writes),
        (my(90704), "SELECT 1 /*!80000 + /*!80000 1 */ + 1 */", Writes),
        (my(90704), "SELECT 1 /*M! FOR UPDATE */", Replica),
        (my(90704), "SELECT 1 /*M!100100 FOR UPDATE */", Replica),
        (my(0), "SELECT 1 /*!80000 + 1 */", Writes),
        (my(0), "SELECT 1 /*! + 1 */", Replica),
        (maria(101119), "SELECT 1 /*M! FOR UPDATE */", Primary),
        (maria(101119), "SELECT 1 /*M!100100 FOR UPDATE */", Primary),
        (maria(101119), "SELECT 1 /*M!110400 FOR UPDATE */", Replica),
        (maria(101119), "SELECT 1 /*M!50701 FOR UPDATE */", Primary),
        (maria(101119), "SELECT 1 /*!100100 FOR UPDATE */", Primary),
        (maria(101119), "SELECT 1 /*!50000 FOR UPDATE */", Primary),
        (maria(101119), "SELECT 1 /*!50701 FOR UPDATE */", Replica),
        (maria(101119), "SELECT 1 /*!80000 FOR UPDATE */", Replica),
        (maria(101119), "SELECT 1 /*!99997 FOR UPDATE */", Writes),
        (maria(101119), "/*M!999999\\- enable the sandbox mode */ SELECT 1", Replica),
        (maria(101119), "/*!999999\\- enable the sandbox mode */ SELECT 1", Replica),
    ] {
        check(&mode, sql, expected);
    }
}

#[test]
fn numbers_and_names_are_cut_as_the_server_cuts_them() {
    check_both(&[
        ("SELECT 1FOR UPDATE", Writes),
        ("SELECT 1FOR", Replica),
        ("SELECT 1.FOR UPDATE", Primary),
        ("SELECT 1.5FOR UPDATE", Primary),
        ("SELECT 1.5e3FOR UPDATE", Primary),
        ("SELECT 1e+3FOR UPDATE", Primary),
        ("SELECT 1.5e FOR UPDATE", Writes),
        ("SELECT 0x1F FOR UPDATE", Primary),
        ("SELECT t.5FOR FROM t", Replica),
        ("SELECT `t`.5FOR UPDATE", Primary),
        ("SELECT t .5FOR UPDATE", Primary),
        ("SELECT t.FOR, t. UPDATE FROM t", Writes),
        ("SELECT a.b.update FROM a.b", Replica),
        ("SELECT for.update FROM x AS `for`", Replica),
        ("SELECT @for.update", Primary),
        ("SELECT @a.b FOR UPDATE", Primary),
        ("SELECT @@for.update", Primary),
        ("SELECT @@ version", Writes),
        ("SELECT @ FOR UPDATE", Primary),
        ("SELECT 1;;SELECT 2", Replica),
        ("SELECT a:=1", Primary),
        ("SELECT 1 $ FROM t", Writes),
        ("SELECT a$b FROM t", Replica),
    ]);
    for (sql, locks) in [
        ("SELECT 1.FOR UPDATE", true),
        ("SELECT t.FOR UPDATE", false),
        ("SELECT @FOR UPDATE", false),
    ] {
        let statement = classify(sql.as_bytes(), &MYSQL);
        assert_eq!(statement.flags.contains(Flags::LOCKING), locks, "{sql}");
    }
}

#[test]
fn multi_byte_character_sets() {
    let mode = |charset| LexMode { charset, ..MYSQL };
    use ClientCharset::*;
    let rows: &[(ClientCharset, &[u8], Side)] = &[
        // The second byte looks like a backslash and is none.
        (Gbk, b"SELECT '\xbf\x5c' FOR UPDATE", Primary),
        (Gb18030, b"SELECT '\xbf\x5c' FOR UPDATE", Primary),
        (Sjis, b"SELECT '\x83\x5c' FOR UPDATE", Primary),
        (Cp932, b"SELECT '\xe0\x5c' FOR UPDATE", Primary),
        (Big5, b"SELECT '\xa5\x5c' FOR UPDATE", Primary),
        // Elsewhere it is one, and the string goes on.
        (Utf8, b"SELECT '\xbf\x5c' FOR UPDATE'", Replica),
        (AsciiSafe, b"SELECT '\xbf\x5c' FOR UPDATE'", Replica),
        // 0x8e is no lead byte of Big5, 0xa1 none of Shift JIS.
        (Big5, b"SELECT '\x8e\x5c' FOR UPDATE'", Replica),
        (Sjis, b"SELECT '\xa1\x5c' FOR UPDATE'", Replica),
        // A lead byte without its second byte.
        (Gbk, b"SELECT '\xbf' FOR UPDATE", Writes),
        (Gbk, b"SELECT '\xbf\xff' FOR UPDATE", Writes),
        // Four bytes.
        (Gb18030, b"SELECT '\x81\x30\x81\x30' FOR UPDATE", Primary),
        (Gbk, b"SELECT '\x81\x30' FOR UPDATE", Writes),
        // A second byte that looks like a backtick, quoted and not.
        (Gbk, b"SELECT `\x81\x60` FOR UPDATE", Primary),
        (Gbk, b"SELECT \x81\x60 FOR UPDATE", Primary),
        (Gbk, b"SELECT a\x81\x5c FOR UPDATE", Primary),
        (Utf8, "SELECT prénom, `名前` FROM t WHERE x = 'é'".as_bytes(), Replica),
        (AsciiSafe, "SELECT prénom FROM t".as_bytes(), Replica),
        // latin1 takes 0xa0 as a space; utf8mb4 has it within letters.
        (AsciiSafe, b"SELECT 1 FOR\xa0UPDATE", Writes),
        (AsciiSafe, "SELECT voilà FROM t".as_bytes(), Writes),
        (Utf8, "SELECT voilà FROM t".as_bytes(), Replica),
        (AsciiSafe, b"SELECT 'a\xa0b'", Replica),
        (AsciiSafe, b"SELECT 1 --\xa0 FOR UPDATE", Writes),
        (Utf8, b"SELECT 1 --\xc3\xa9 FOR UPDATE", Primary),
    ];
    for &(charset, sql, expected) in rows {
        check(&mode(charset), sql, expected);
    }
}

#[test]
fn character_sets_by_name_and_collation() {
    use ClientCharset::*;
    for (name, charset) in [
        ("utf8mb4", Utf8),
        ("UTF8", Utf8),
        ("gbk", Gbk),
        ("gb18030", Gb18030),
        ("sjis", Sjis),
        ("cp932", Cp932),
        ("big5", Big5),
        ("latin1", AsciiSafe),
        ("nonsense", AsciiSafe),
    ] {
        assert_eq!(ClientCharset::from_name(name.as_bytes()), charset, "{name}");
    }
    for (id, charset) in [
        (8, AsciiSafe),
        (33, Utf8),
        (45, Utf8),
        (255, Utf8),
        (28, Gbk),
        (87, Gbk),
        (248, Gb18030),
        (13, Sjis),
        (95, Cp932),
        (1, Big5),
        (63, AsciiSafe),
        (60000, AsciiSafe),
    ] {
        assert_eq!(ClientCharset::from_collation(id), charset, "{id}");
    }
}
