//! Cost of classifying a statement and deciding its route, by kind of text and by length: of each kind
//! there are texts ten times as long as the last, so that the throughput shows that cost is linear; and
//! cost of finding the rule for a statement, by the number of rules.
//!
//! A machine with neighbours measures times badly and instructions well. For these, run one text a
//! number of times under valgrind, twice, and divide the difference:
//!
//! ```text
//! cargo bench --bench classify --no-run
//! valgrind --tool=callgrind target/release/deps/classify-… --loop laravel_select 1000
//! valgrind --tool=callgrind target/release/deps/classify-… --loop laravel_select 2000
//! ```

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use lagwise::route::{Policy, Route, Rule, Rules, SessionFacts, UserRules, decide};
use lagwise::sql::{LexMode, Make, Prefix, classify};

const MODE: LexMode = LexMode::utf8(Make::MySql, 90704);

/// Short and middling texts, most as applications prepare or send them.
const TEXTS: &[(&str, &str)] = &[
    ("begin", "START TRANSACTION"),
    ("commit", "COMMIT"),
    ("point_select", "SELECT c FROM sbtest1 WHERE id=?"),
    // 199 bytes of the kind that Laravel prepares for every read.
    (
        "laravel_select",
        "select * from `orders` where `orders`.`customer_id` = ? and `orders`.`customer_id` is not null \
         and `orders`.`status` in (?, ?, ?) and `orders`.`deleted_at` is null order by `created_at` desc \
         limit 15",
    ),
    (
        "laravel_join",
        "select `users`.`id`, `users`.`name`, `users`.`email`, count(*) as aggregate from `users` inner \
         join `orders` on `users`.`id` = `orders`.`user_id` where `orders`.`status` = ? and `users`.`id` \
         in (?, ?, ?) limit 10",
    ),
    (
        "laravel_insert",
        "insert into `orders` (`customer_id`, `status`, `total`, `updated_at`, `created_at`) values (?, \
         ?, ?, ?, ?)",
    ),
    (
        "laravel_update",
        "update `orders` set `status` = ?, `orders`.`updated_at` = ? where `id` = ? and `deleted_at` is \
         null",
    ),
    (
        "wordpress_select",
        "SELECT SQL_CALC_FOUND_ROWS  wp_posts.ID FROM wp_posts WHERE 1=1  AND ((wp_posts.post_type = \
         'post' AND (wp_posts.post_status = 'publish' OR wp_posts.post_status = 'private')))  ORDER BY \
         wp_posts.post_date DESC LIMIT 0, 10",
    ),
    (
        "django_select",
        "SELECT \"auth_user\".\"id\", \"auth_user\".\"username\" FROM \"auth_user\" WHERE \
         (\"auth_user\".\"is_active\" AND UPPER(\"auth_user\".\"email\") LIKE UPPER('a%')) LIMIT 21",
    ),
    ("set_names", "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci'"),
    ("commented", "/* page:/cart request:4711 */ SELECT a FROM t -- the end\n WHERE b = 'c'"),
];

/// Texts of a given length: a name, what they begin with, what is repeated, what they end with.
const GROWING: &[(&str, &str, &str, &str)] = &[
    ("in_list", "select * from `t` where `id` in (", "1234, ", "1)"),
    ("placeholders", "select * from `t` where `id` in (", "?, ", "?)"),
    ("string", "select '", "some text or other, it''s long; ", "'"),
    ("comment", "select 1 /* ", "what was there before; ", "*/"),
    (
        "rows",
        "insert into `t` (`a`, `b`, `c`, `d`) values ",
        "(1234, 'some text', null, 5.5), ",
        "(1, '', null, 0)",
    ),
    ("columns", "select ", "`table`.`column` as alias, ", "1 from `table`"),
    ("parentheses", "select ", "((a) + 1)*", "1"),
];

fn texts() -> Vec<(String, String)> {
    let fixed = TEXTS.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    let growing = GROWING.iter().flat_map(|(name, head, middle, tail)| {
        [(1, "1k"), (10, "10k"), (100, "100k")].map(|(kib, size)| {
            let times = (kib * 1024 - head.len() - tail.len()) / middle.len();
            (format!("{name}/{size}"), format!("{head}{}{tail}", middle.repeat(times)))
        })
    });
    fixed.chain(growing).collect()
}

#[inline(never)]
fn route(sql: &str, facts: &SessionFacts, policy: &Policy) -> Route {
    decide(&classify(sql.as_bytes(), &MODE), facts, policy)
}

fn classify_and_decide(criterion: &mut Criterion) {
    let (facts, policy) = (SessionFacts::default(), Policy::default());
    let mut group = criterion.benchmark_group("classify_and_decide");
    for (name, sql) in texts() {
        group.throughput(Throughput::Bytes(sql.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &sql, |bencher, sql| {
            bencher.iter(|| black_box(route(black_box(sql), &facts, &policy)));
        });
    }
    group.finish();
}

/// What the rules add to a statement: for a user whom none of a thousand is about, and for one with
/// the beginnings of one statement to ten thousand, which shows that their number costs nothing.
fn find_rule(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find_rule");
    for (name, count, user) in RULES {
        let mut rules = rules(*count, user);
        group.bench_function(*name, |bencher| bencher.iter(|| found(&mut rules)));
    }
    group.finish();
}

const RULES: &[(&str, usize, &str)] = &[
    ("rules_none", 0, "app"),
    ("rules_of_others", 1000, "other"),
    ("rules_one", 1, "app"),
    ("rules_10", 10, "app"),
    ("rules_1000", 1000, "app"),
    ("rules_10000", 10_000, "app"),
];

/// What so many rules are to sessions of a user.
fn rules(count: usize, user: &str) -> UserRules {
    let rule = |number: usize| Rule {
        users: [Box::from(&b"app"[..])].into(),
        statements: Prefix::parse(&format!("select * from report_{number} where a"))
            .into_iter()
            .collect(),
        ..Rule::default()
    };
    std::sync::Arc::new(Rules::new((0..count).map(rule).collect())).of_user(user.as_bytes())
}

fn found(rules: &mut UserRules) -> Option<usize> {
    let text: &[u8] = black_box(b"select * from report_0 where b = 1");
    rules.find(b"shop", || Some(text), &MODE)
}

criterion_group!(benches, classify_and_decide, find_rule);

/// Routes the text of this name, or finds a rule among those of this name, so many times, and does
/// nothing else.
fn run(name: &str, times: u64) {
    for (_, count, user) in RULES.iter().filter(|(known, ..)| *known == name) {
        let mut rules = rules(*count, user);
        for _ in 0..times {
            black_box(found(&mut rules));
        }
    }
    let (facts, policy) = (SessionFacts::default(), Policy::default());
    for (_, sql) in texts().iter().filter(|(known, _)| known == name) {
        println!("{name}: {} bytes", sql.len());
        for _ in 0..times {
            black_box(route(black_box(sql), &facts, &policy));
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..4) {
        Some([flag, name, times]) if flag == "--loop" => run(name, times.parse().unwrap_or(0)),
        _ => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
