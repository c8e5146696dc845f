//! A connection that is handed to another account.

use super::*;

/// Where there is no room for another account's connection, one that is there becomes it; nothing is
/// left of what it was before.
pub async fn an_account_takes_over_anothers(lab: &Lab) {
    let read_only = match lab.make {
        Make::MySql => "transaction_read_only",
        Make::MariaDb => "tx_read_only",
    };
    let who = format!(
        "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), DATABASE(), @left, \
         @@collation_connection = 'latin1_swedish_ci', @@session.{read_only}"
    );
    let change = format!("SET @left = 1, SESSION {read_only} = 1");
    let pool = pool_to(lab, Limits { max_connections: 1, ..Limits::default() });
    let take = async |key: &LoginKey| {
        let wish = Wish { has_schema: false, fingerprint: 0 };
        pool.checkout(key, wish, None, soon()).await
    };
    let mut guard = begin(&pool, &key("app", 45)).await;
    guard.run(b"CREATE TEMPORARY TABLE mine (id INT)").await.unwrap();
    guard.run(change.as_bytes()).await.unwrap();
    let first = guard.facts().thread_id;
    guard.release_for_all();

    let mut guard = take(&key("other", 8)).await.unwrap();
    let answer = ask(&mut guard, &who).await;
    assert_eq!(answer, "[[Some(\"other\"), None, None, Some(\"1\"), Some(\"0\")]]");
    let answer = ask(&mut guard, "SELECT * FROM other.mine").await;
    assert!(answer.contains("1146"), "{answer}");
    assert_eq!(guard.facts().thread_id, first);
    guard.recycle();

    let mut guard = take(&LoginKey { read_only: true, ..key("app", 45) }).await.unwrap();
    let answer = ask(&mut guard, &who).await;
    assert_eq!(answer, "[[Some(\"app\"), None, None, Some(\"0\"), Some(\"1\")]]");
    let answer = ask(&mut guard, "UPDATE shop.items SET stock = stock").await;
    assert!(answer.contains("1792"), "{answer}");
    assert_eq!((guard.facts().thread_id, pool.counters().handed()), (first, 2));
    guard.recycle();

    // Another meaning of packets, for which there is no such command.
    let mut found_rows = key("app", 45);
    found_rows.login.capabilities |= Capabilities::FOUND_ROWS;
    let guard = take(&found_rows).await.unwrap();
    let second = guard.facts().thread_id;
    assert_ne!(second, first);
    guard.recycle();

    // A login that fails harms nobody.
    let wrong = LoginKey { login: key("nobody", 45).login, read_only: false };
    let error = take(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("1045"), "{error}");
    let mut guard = take(&key("app", 45)).await.unwrap();
    assert_eq!(ask(&mut guard, "SELECT 1").await, "[[Some(\"1\")]]");
    assert_eq!(pool.counters().handed(), 2);
    guard.recycle();

    // What a login answers is the same either way.
    let one = pool.open_anew(&key("other", 45), Some(b"shop"), soon()).await.unwrap();
    assert_eq!(pool.counters().handed(), 3);
    let other = pool_to(lab, Limits::default());
    let mut two = other.open_anew(&key("other", 45), Some(b"shop"), soon()).await.unwrap();
    let mut one = one;
    assert_eq!(one.take_login_ok(), two.take_login_ok());
    assert_eq!(one.initial_state(), two.initial_state());
    assert_eq!((one.status, &*one.image), (two.status, &*two.image));
}
