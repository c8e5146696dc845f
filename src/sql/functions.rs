//! What a name before a parenthesis is: a built-in function that any server answers alike, one that
//! does not, a keyword, or something unknown.
//!
//! The names are those of the servers' function and keyword tables, and each was called on MySQL 9.7 and
//! MariaDB 10.11 to see that it is built in there. A name that a server does not know as built in may be a stored or loadable function there,
//! with any side effect, and so is unknown; groups therefore say since which version of which make
//! their names are built in.

use super::mode::{LexMode, Make};
use super::words::hash;

/// What a call of a name does to routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A built-in function whose answer depends on data, arguments and synchronised state only.
    Harmless,
    /// A keyword: no call at all.
    Keyword,
    /// Answers from the state of the connection (LAST_INSERT_ID, CONNECTION_ID).
    Session,
    /// Answers about the statement before (ROW_COUNT).
    Diagnostics,
    /// Answers about the last query (FOUND_ROWS).
    FoundRows,
    /// Differs between servers (VERSION), reads their files or waits for their position.
    Server,
    /// Takes or looks at a user lock.
    UserLock,
    /// Uses a sequence, which writes.
    Sequence,
    /// Not built in.
    Unknown,
}

struct Group {
    class: Class,
    /// First version with these names built in.
    mysql: u32,
    mariadb: u32,
    /// First version of MySQL without them.
    mysql_gone: u32,
    /// Built in only when the parenthesis follows at once, or under IGNORE_SPACE.
    adjacent: bool,
    names: &'static [&'static str],
}

const ALWAYS: u32 = 0;
const NEVER: u32 = u32::MAX;

const fn group(class: Class, mysql: u32, mariadb: u32, names: &'static [&'static str]) -> Group {
    Group { class, mysql, mariadb, mysql_gone: NEVER, adjacent: false, names }
}

const fn adjacent(class: Class, mysql: u32, mariadb: u32, names: &'static [&'static str]) -> Group {
    Group { class, mysql, mariadb, mysql_gone: NEVER, adjacent: true, names }
}

#[rustfmt::skip]
const GROUPS: &[Group] = &[
    group(Class::Keyword, ALWAYS, ALWAYS, &[
        "ALL", "AND", "ANY", "AS", "ASC", "ANALYZE", "BETWEEN", "BINARY", "BY", "CASE", "COLLATE",
        "CROSS", "DESC", "DISTINCT", "DISTINCTROW", "DIV", "ELSE", "END", "EXISTS", "EXPLAIN",
        "FROM", "GROUP", "HAVING", "IGNORE", "IN", "INDEX", "INNER", "INTERVAL", "INTO", "IS", "JOIN", "KEY", "KEYS",
        "LIKE", "LIMIT", "MATCH", "NATURAL", "NOT", "NULL", "OFFSET", "ON", "OR", "ORDER", "OUTER", "OVER",
        "PARTITION", "RANGE", "REGEXP", "RETURNING", "RLIKE", "ROW", "ROWS", "SELECT", "SEPARATOR",
        "SET", "SOME", "SOUNDS", "STRAIGHT_JOIN", "TABLE", "THEN", "TO", "TRUE", "UNION", "UNIQUE", "USE", "USING",
        "VALUE", "VALUES", "WHEN", "WHERE", "WINDOW", "WITH", "XOR",
        // Types, in CAST, CONVERT and JSON_TABLE.
        "BIGINT", "BIT", "BLOB", "BOOL", "BOOLEAN", "CHARACTER", "DATETIME", "DEC", "DECIMAL", "DOUBLE", "ENUM",
        "FIXED", "FLOAT", "INT", "INTEGER", "JSON", "LONGTEXT", "MEDIUMINT", "NATIONAL", "NCHAR", "NUMERIC",
        "NVARCHAR", "PRECISION", "REAL", "SIGNED", "SMALLINT", "TEXT", "TINYINT", "UNSIGNED", "VARBINARY", "VARCHAR",
        "VARYING",
    ]),
    // MariaDB lets these be functions; there a parenthesis before AGAINST shows what it is.
    group(Class::Keyword, ALWAYS, NEVER, &["AGAINST", "COLUMNS", "ESCAPE", "OF", "ROLLUP"]),
    group(Class::Keyword, 80014, NEVER, &["ARRAY", "LATERAL", "MEMBER"]),
    group(Class::Keyword, 80031, 100300, &["EXCEPT", "INTERSECT"]),
    group(Class::Keyword, 90700, NEVER, &["QUALIFY", "TABLESAMPLE"]),
    adjacent(Class::Harmless, ALWAYS, ALWAYS, &[
        "ADDDATE", "BIT_AND", "BIT_OR", "BIT_XOR", "CAST", "COUNT", "CURDATE", "CURTIME", "DATE_ADD", "DATE_SUB",
        "EXTRACT", "GROUP_CONCAT", "MAX", "MID", "MIN", "NOW", "POSITION", "STD", "STDDEV", "STDDEV_POP",
        "STDDEV_SAMP", "SUBDATE", "SUBSTR", "SUBSTRING", "SUM", "SYSDATE", "TRIM", "VARIANCE", "VAR_POP", "VAR_SAMP",
    ]),
    adjacent(Class::Harmless, 50722, 100500, &["JSON_ARRAYAGG", "JSON_OBJECTAGG"]),
    adjacent(Class::Harmless, 80000, 100200, &[
        "CUME_DIST", "DENSE_RANK", "FIRST_VALUE", "LAG", "LAST_VALUE", "LEAD", "NTH_VALUE", "NTILE", "PERCENT_RANK",
        "RANK", "ROW_NUMBER",
    ]),
    adjacent(Class::Harmless, NEVER, 100303, &["MEDIAN", "PERCENTILE_CONT", "PERCENTILE_DISC"]),
    group(Class::Harmless, 80024, NEVER, &["ST_COLLECT"]),
    group(Class::Harmless, ALWAYS, ALWAYS, &[
        "ABS", "ACOS", "ADDTIME", "AES_DECRYPT", "AES_ENCRYPT", "ASCII", "ASIN", "ATAN", "ATAN2", "AVG", "BENCHMARK",
        "BIN", "BIT_COUNT", "BIT_LENGTH", "CEIL", "CEILING", "CHAR", "CHARACTER_LENGTH", "CHARSET", "CHAR_LENGTH",
        "COALESCE", "COERCIBILITY", "COLLATION", "COMPRESS", "CONCAT", "CONCAT_WS", "CONV", "CONVERT", "CONVERT_TZ",
        "COS", "COT", "CRC32", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "DATABASE", "DATE", "DATEDIFF",
        "DATE_FORMAT", "DAY", "DAYNAME", "DAYOFMONTH", "DAYOFWEEK", "DAYOFYEAR", "DEFAULT", "DEGREES", "ELT", "EXP",
        "EXPORT_SET", "EXTRACTVALUE", "FIELD", "FIND_IN_SET", "FLOOR", "FORMAT", "FROM_BASE64", "FROM_DAYS",
        "FROM_UNIXTIME", "GET_FORMAT", "GREATEST", "HEX", "HOUR", "IF", "IFNULL", "INET6_ATON", "INET6_NTOA",
        "INET_ATON", "INET_NTOA", "INSERT", "INSTR", "ISNULL", "IS_IPV4", "IS_IPV4_COMPAT", "IS_IPV4_MAPPED",
        "IS_IPV6", "LAST_DAY", "LCASE", "LEAST", "LEFT", "LENGTH", "LN", "LOCALTIME", "LOCALTIMESTAMP", "LOCATE",
        "LOG", "LOG10", "LOG2", "LOWER", "LPAD", "LTRIM", "MAKEDATE", "MAKETIME", "MAKE_SET", "MICROSECOND", "MINUTE",
        "MOD", "MONTH", "MONTHNAME", "NAME_CONST", "NULLIF", "OCT", "OCTET_LENGTH", "ORD", "PERIOD_ADD",
        "PERIOD_DIFF", "PI", "POW", "POWER", "QUARTER", "QUOTE", "RADIANS", "RAND", "REPEAT", "REPLACE", "REVERSE",
        "RIGHT", "ROUND", "RPAD", "RTRIM", "SCHEMA", "SECOND", "SEC_TO_TIME", "SHA2", "SIGN", "SIN", "SLEEP",
        "SOUNDEX", "SPACE", "SQRT", "STRCMP", "STR_TO_DATE", "SUBSTRING_INDEX", "SUBTIME", "TAN", "TIME", "TIMEDIFF",
        "TIMESTAMP", "TIMESTAMPADD", "TIMESTAMPDIFF", "TIME_FORMAT", "TIME_TO_SEC", "TO_BASE64", "TO_DAYS",
        "TO_SECONDS", "TRUNCATE", "UCASE", "UNCOMPRESS", "UNCOMPRESSED_LENGTH", "UNHEX", "UNIX_TIMESTAMP",
        "UPDATEXML", "UPPER", "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP", "UUID", "UUID_SHORT", "WEEK", "WEEKDAY",
        "WEEKOFYEAR", "WEIGHT_STRING", "YEAR", "YEARWEEK",
    ]),
    group(Class::Harmless, ALWAYS, ALWAYS, &[
        "GEOMETRYCOLLECTION", "LINESTRING", "MBRCONTAINS", "MBRDISJOINT", "MBREQUALS", "MBRINTERSECTS", "MBROVERLAPS",
        "MBRTOUCHES", "MBRWITHIN", "MULTILINESTRING", "MULTIPOINT", "MULTIPOLYGON", "POINT", "POLYGON", "ST_AREA",
        "ST_ASBINARY", "ST_ASGEOJSON", "ST_ASTEXT", "ST_ASWKB", "ST_ASWKT", "ST_BUFFER", "ST_CENTROID", "ST_CONTAINS",
        "ST_CONVEXHULL", "ST_CROSSES", "ST_DIFFERENCE", "ST_DIMENSION", "ST_DISJOINT", "ST_DISTANCE", "ST_ENDPOINT",
        "ST_ENVELOPE", "ST_EQUALS", "ST_EXTERIORRING", "ST_GEOMCOLLFROMTEXT", "ST_GEOMCOLLFROMWKB", "ST_GEOMETRYN",
        "ST_GEOMETRYTYPE", "ST_GEOMFROMGEOJSON", "ST_GEOMFROMTEXT", "ST_GEOMFROMWKB", "ST_INTERIORRINGN",
        "ST_INTERSECTION", "ST_INTERSECTS", "ST_ISCLOSED", "ST_ISEMPTY", "ST_ISSIMPLE", "ST_LENGTH",
        "ST_LINEFROMTEXT", "ST_LINEFROMWKB", "ST_MLINEFROMTEXT", "ST_MLINEFROMWKB", "ST_MPOINTFROMTEXT",
        "ST_MPOINTFROMWKB", "ST_MPOLYFROMTEXT", "ST_MPOLYFROMWKB", "ST_NUMGEOMETRIES", "ST_NUMINTERIORRINGS",
        "ST_NUMPOINTS", "ST_OVERLAPS", "ST_POINTFROMTEXT", "ST_POINTFROMWKB", "ST_POINTN", "ST_POLYFROMTEXT",
        "ST_POLYFROMWKB", "ST_SRID", "ST_STARTPOINT", "ST_SYMDIFFERENCE", "ST_TOUCHES", "ST_UNION", "ST_WITHIN",
        "ST_X", "ST_Y", "ST_GEOMETRYCOLLECTIONFROMTEXT", "ST_GEOMETRYCOLLECTIONFROMWKB", "ST_GEOMETRYFROMTEXT",
        "ST_GEOMETRYFROMWKB", "ST_LINESTRINGFROMTEXT", "ST_LINESTRINGFROMWKB", "ST_MULTILINESTRINGFROMTEXT",
        "ST_MULTILINESTRINGFROMWKB", "ST_MULTIPOINTFROMTEXT", "ST_MULTIPOINTFROMWKB", "ST_MULTIPOLYGONFROMTEXT",
        "ST_MULTIPOLYGONFROMWKB", "ST_POLYGONFROMTEXT", "ST_POLYGONFROMWKB",
    ]),
    group(Class::Harmless, 50722, 100203, &[
        "JSON_ARRAY", "JSON_ARRAY_APPEND", "JSON_ARRAY_INSERT", "JSON_CONTAINS", "JSON_CONTAINS_PATH", "JSON_DEPTH",
        "JSON_EXTRACT", "JSON_INSERT", "JSON_KEYS", "JSON_LENGTH", "JSON_MERGE", "JSON_MERGE_PATCH",
        "JSON_MERGE_PRESERVE", "JSON_OBJECT", "JSON_QUOTE", "JSON_REMOVE", "JSON_REPLACE", "JSON_SEARCH", "JSON_SET",
        "JSON_TYPE", "JSON_UNQUOTE", "JSON_VALID",
    ]),
    group(Class::Harmless, 50722, 101002, &["JSON_PRETTY", "RANDOM_BYTES"]),
    // In MariaDB a word like any other, outside of FROM.
    group(Class::Harmless, 80004, NEVER, &["JSON_TABLE"]),
    group(Class::Harmless, 80017, 100900, &["JSON_OVERLAPS"]),
    group(Class::Harmless, 80021, 100203, &["JSON_VALUE"]),
    group(Class::Harmless, 80017, 110100, &["JSON_SCHEMA_VALID"]),
    group(Class::Harmless, 80004, 100005, &["REGEXP_INSTR", "REGEXP_REPLACE", "REGEXP_SUBSTR"]),
    group(Class::Harmless, 50722, NEVER, &["ANY_VALUE", "GTID_SUBSET", "GTID_SUBTRACT", "JSON_STORAGE_SIZE"]),
    group(Class::Harmless, 80000, NEVER, &[
        "BIN_TO_UUID", "CUBE", "GROUPING", "IS_UUID", "JSON_STORAGE_FREE", "REGEXP_LIKE", "ST_LATITUDE",
        "ST_LONGITUDE", "ST_SWAPXY", "ST_TRANSFORM", "UUID_TO_BIN",
    ]),
    group(Class::Harmless, 80017, NEVER, &[
        "FORMAT_BYTES", "FORMAT_PICO_TIME", "JSON_SCHEMA_VALIDATION_REPORT", "STATEMENT_DIGEST",
        "STATEMENT_DIGEST_TEXT",
    ]),
    group(Class::Harmless, 50700, NEVER, &[
        "GEOMCOLLECTION", "MBRCOVEREDBY", "MBRCOVERS", "ST_BUFFER_STRATEGY", "ST_GEOHASH", "ST_GEOMCOLLFROMTXT",
        "ST_ISVALID", "ST_LATFROMGEOHASH", "ST_LONGFROMGEOHASH", "ST_MAKEENVELOPE", "ST_NUMINTERIORRING",
        "ST_POINTFROMGEOHASH", "ST_VALIDATE",
    ]),
    group(Class::Harmless, 50700, 100500, &["ST_DISTANCE_SPHERE"]),
    group(Class::Harmless, 50700, 120000, &["ST_SIMPLIFY"]),
    group(Class::Harmless, 80026, NEVER, &[
        "ST_FRECHETDISTANCE", "ST_HAUSDORFFDISTANCE", "ST_LINEINTERPOLATEPOINT", "ST_LINEINTERPOLATEPOINTS",
        "ST_POINTATDISTANCE",
    ]),
    group(Class::Harmless, 90000, NEVER, &["FROM_VECTOR", "STRING_TO_VECTOR", "TO_VECTOR", "VECTOR_DIM", "VECTOR_TO_STRING"]),
    group(Class::Harmless, NEVER, ALWAYS, &[
        "COLUMN_ADD", "COLUMN_CHECK", "COLUMN_CREATE", "COLUMN_DELETE", "COLUMN_EXISTS", "COLUMN_GET", "COLUMN_JSON",
        "COLUMN_LIST", "DECODE_HISTOGRAM", "DES_DECRYPT", "DES_ENCRYPT", "ENCODE", "ENCRYPT", "OLD_PASSWORD",
        "ST_BOUNDARY", "ST_ISRING", "ST_POINTONSURFACE", "ST_RELATE",
    ]),
    group(Class::Harmless, NEVER, 100303, &[
        "CHR", "DECODE", "JSON_COMPACT", "JSON_DETAILED", "JSON_EXISTS", "JSON_LOOSE", "JSON_QUERY", "LENGTHB", "NVL",
        "NVL2",
    ]),
    group(Class::Harmless, NEVER, 100600, &["ADD_MONTHS", "TO_CHAR"]),
    group(Class::Harmless, NEVER, 110700, &["UUID_V4", "UUID_V7"]),
    group(Class::Harmless, NEVER, 100700, &[
        "CRC32C", "JSON_EQUALS", "JSON_NORMALIZE", "NATURAL_SORT_KEY", "SFORMAT",
    ]),
    // MySQL moved these out of the server; a stored function may have taken the name.
    Group {
        mysql_gone: 90600,
        ..group(Class::Harmless, ALWAYS, ALWAYS, &["MD5", "SHA", "SHA1"])
    },
    adjacent(Class::Server, ALWAYS, ALWAYS, &["SESSION_USER", "SYSTEM_USER"]),
    group(Class::Server, ALWAYS, ALWAYS, &[
        "BINLOG_GTID_POS", "CURRENT_ROLE", "CURRENT_USER", "ICU_VERSION", "LOAD_FILE", "MASTER_GTID_WAIT",
        "MASTER_POS_WAIT", "ROLES_GRAPHML", "SOURCE_POS_WAIT", "USER", "VERSION", "WAIT_FOR_EXECUTED_GTID_SET",
        "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS", "WSREP_LAST_SEEN_GTID", "WSREP_LAST_WRITTEN_GTID",
        "WSREP_SYNC_WAIT_UPTO_GTID",
    ]),
    group(Class::Session, ALWAYS, ALWAYS, &[
        "CONNECTION_ID", "LAST_INSERT_ID", "PS_CURRENT_THREAD_ID", "PS_THREAD_ID",
    ]),
    group(Class::Diagnostics, ALWAYS, ALWAYS, &["ROW_COUNT"]),
    group(Class::FoundRows, ALWAYS, ALWAYS, &["FOUND_ROWS"]),
    group(Class::UserLock, ALWAYS, ALWAYS, &[
        "GET_LOCK", "IS_FREE_LOCK", "IS_USED_LOCK", "RELEASE_ALL_LOCKS", "RELEASE_LOCK",
    ]),
    group(Class::Sequence, ALWAYS, ALWAYS, &["CURRVAL", "LASTVAL", "NEXTVAL", "SETVAL"]),
];

const SIZE: usize = 2048;

/// Group and name, both counted from 1; zero for an empty slot.
const TABLE: [(u8, u8); SIZE] = build();

const fn build() -> [(u8, u8); SIZE] {
    let mut table = [(0, 0); SIZE];
    let mut group = 0;
    while group < GROUPS.len() {
        let names = GROUPS[group].names;
        assert!(names.len() < 255);
        let mut name = 0;
        while name < names.len() {
            let mut slot = hash(names[name].as_bytes()) % SIZE;
            while table[slot].0 != 0 {
                slot = (slot + 1) % SIZE;
            }
            table[slot] = (group as u8 + 1, name as u8 + 1);
            name += 1;
        }
        group += 1;
    }
    table
}

/// What `name` is, followed by a parenthesis; `touching` if nothing stands between the two.
pub(super) fn class(name: &[u8], touching: bool, mode: &LexMode) -> Class {
    let mut slot = hash(name) % SIZE;
    loop {
        let (group, index) = TABLE[slot];
        if group == 0 {
            return Class::Unknown;
        }
        let found = &GROUPS[group as usize - 1];
        if found.names[index as usize - 1].as_bytes().eq_ignore_ascii_case(name) {
            let (since, gone) = match mode.make {
                Make::MySql => (found.mysql, found.mysql_gone),
                Make::MariaDb => (found.mariadb, NEVER),
            };
            let built_in = (since..gone).contains(&mode.server_version);
            let spaced = found.adjacent && !touching && !mode.ignore_space;
            return if built_in && !spaced { found.class } else { Class::Unknown };
        }
        slot = (slot + 1) % SIZE;
    }
}

/// Built-in functions that are words of the grammar, those of the adjacent groups aside. Found by
/// calling each between quotes: MySQL 9.7 and MariaDB 10.11 then look for a stored function.
#[rustfmt::skip]
const GRAMMAR: &[&str] = &[
    "ASCII", "AVG", "CHAR", "CHARSET", "COALESCE", "COLLATION", "COLUMN_ADD", "COLUMN_CREATE", "COLUMN_DELETE",
    "COLUMN_GET", "CONVERT", "CUBE", "CURRENT_DATE", "CURRENT_ROLE", "CURRENT_TIME", "CURRENT_TIMESTAMP",
    "CURRENT_USER", "DATABASE", "DATE", "DAY", "DEFAULT", "FORMAT", "GEOMCOLLECTION", "GEOMETRYCOLLECTION",
    "GET_FORMAT", "GROUPING", "HOUR", "IF", "INSERT", "JSON_TABLE", "JSON_VALUE", "LASTVAL", "LEFT", "LINESTRING",
    "LOCALTIME", "LOCALTIMESTAMP", "MICROSECOND", "MINUTE", "MOD", "MONTH", "MULTILINESTRING", "MULTIPOINT",
    "MULTIPOLYGON", "NEXTVAL", "POINT", "POLYGON", "QUARTER", "REPEAT", "REPLACE", "RIGHT", "ROW_COUNT", "SCHEMA",
    "SECOND", "SETVAL", "ST_COLLECT", "TIME", "TIMESTAMP", "TIMESTAMPADD", "TIMESTAMPDIFF", "TRUNCATE", "USER",
    "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP", "WEEK", "WEIGHT_STRING", "YEAR",
];

/// What a name between quotes is, followed by a parenthesis: a word of the grammar is none there, and
/// may be the name of a stored function.
#[cold]
pub(super) fn quoted_class(name: &[u8], mode: &LexMode) -> Class {
    if GRAMMAR.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
        return Class::Unknown;
    }
    match class(name, false, &LexMode { ignore_space: false, ..*mode }) {
        Class::Keyword => Class::Unknown,
        class => class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice_and_each_is_found() {
        let mut seen = std::collections::HashSet::new();
        for (index, group) in GROUPS.iter().enumerate() {
            for name in group.names {
                assert!(seen.insert(*name), "{name} stands twice");
                let mode = LexMode {
                    make: if group.mysql < NEVER { Make::MySql } else { Make::MariaDb },
                    server_version: if group.mysql_gone < NEVER { 80000 } else { 999_999 },
                    ..LexMode::default()
                };
                let lower = name.to_lowercase();
                assert_eq!(class(lower.as_bytes(), true, &mode), group.class, "{index} {name}");
            }
        }
        assert!(seen.len() > 400);
    }

    #[test]
    fn a_name_is_built_in_from_a_version_on() {
        let mode = |make, server_version| LexMode { make, server_version, ..LexMode::default() };
        for (name, touching, mode, expected) in [
            ("uuid_to_bin", true, mode(Make::MySql, 90700), Class::Harmless),
            ("uuid_to_bin", true, mode(Make::MySql, 50744), Class::Unknown),
            ("uuid_to_bin", true, mode(Make::MySql, 0), Class::Unknown),
            ("md5", true, mode(Make::MySql, 80036), Class::Harmless),
            ("md5", true, mode(Make::MySql, 90704), Class::Unknown),
            ("uuid_to_bin", true, mode(Make::MariaDb, 101114), Class::Unknown),
            ("md5", true, mode(Make::MariaDb, 101114), Class::Harmless),
            ("sformat", true, mode(Make::MariaDb, 101114), Class::Harmless),
            ("count", true, mode(Make::MySql, 90700), Class::Harmless),
            ("count", false, mode(Make::MySql, 90700), Class::Unknown),
            ("concat", false, mode(Make::MySql, 90700), Class::Harmless),
            ("my_fn", true, mode(Make::MySql, 90700), Class::Unknown),
        ] {
            assert_eq!(class(name.as_bytes(), touching, &mode), expected, "{name} {mode:?}");
        }
    }
}
