//! Cost of classifying a statement and deciding its route, by kind of text, and a check that it is
//! linear in the length.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lagwise::route::{Policy, SessionFacts, decide};
use lagwise::sql::{ClientCharset, LexMode, Make, classify};

const MODE: LexMode = LexMode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    ignore_space: false,
    make: Make::MySql,
    server_version: 90704,
    charset: ClientCharset::Utf8,
};

/// 200 bytes of the kind that Laravel sends.
const TYPICAL: &str = "select `users`.`id`, `users`.`name`, `users`.`email`, count(*) as aggregate from \
    `users` inner join `orders` on `users`.`id` = `orders`.`user_id` where `orders`.`status` = ? and \
    `users`.`id` in (?, ?, ?) limit 10";

fn texts() -> Vec<(&'static str, String)> {
    let list =
        |items: usize| format!("select * from `t` where `id` in ({}1)", "1234, ".repeat(items));
    vec![
        ("point_select", "SELECT c FROM sbtest1 WHERE id=?".to_owned()),
        ("begin", "START TRANSACTION".to_owned()),
        ("typical_select", TYPICAL.to_owned()),
        (
            "wordpress_select",
            "SELECT SQL_CALC_FOUND_ROWS  wp_posts.ID FROM wp_posts WHERE 1=1  AND \
             ((wp_posts.post_type = 'post' AND (wp_posts.post_status = 'publish' OR \
             wp_posts.post_status = 'private')))  ORDER BY wp_posts.post_date DESC LIMIT 0, 10"
                .to_owned(),
        ),
        ("set_names", "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci'".to_owned()),
        ("insert", "insert into `t` (`a`, `b`, `c`) values (?, 'some text', 12345)".to_owned()),
        ("list_1k", list(170)),
        ("list_10k", list(1_700)),
        ("list_100k", list(17_000)),
        ("string_10k", format!("SELECT '{}'", "some text or other ".repeat(540))),
    ]
}

fn classify_and_decide(criterion: &mut Criterion) {
    let facts = SessionFacts::default();
    let policy = Policy::default();
    let mut group = criterion.benchmark_group("classify_and_decide");
    for (name, sql) in texts() {
        group.throughput(Throughput::Bytes(sql.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &sql, |bencher, sql| {
            bencher.iter(|| {
                let statement = classify(black_box(sql.as_bytes()), black_box(&MODE));
                black_box(decide(&statement, &facts, &policy))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, classify_and_decide);
criterion_main!(benches);
