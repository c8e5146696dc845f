//! A connection that makes way for another account's.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_place_for_ones_own_connect_counts() {
    let fake = Fake::default();
    let pool = fake.pool(limits(1));
    let deadline = Instant::now() + SECOND;
    let (room, _) = pool.room(&APP, deadline).await.unwrap();
    assert!(matches!(checkout(&pool, APP, SECOND).await, Err(Error::Exhausted(1))));
    drop(room);
    let guard = checkout(&pool, APP, SECOND).await.unwrap();
    guard.release_for_all();
    // An idle one makes way.
    let (room, idle) = pool.room(&OTHER, Instant::now() + SECOND).await.unwrap();
    assert_eq!((pool.levels().open, idle.is_some()), (1, true));
    room.set_taken(Instant::now());
    drop((idle, room));
    assert_eq!(pool.levels(), Levels::default());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_handed_on_grows_no_younger() {
    let fake = Fake::default();
    fake.0.hands_on.store(true, Ordering::Relaxed);
    let pool = fake.pool(Limits { max_lifetime: 10 * SECOND, ..limits(1) });
    checkout(&pool, APP, SECOND).await.unwrap().release_for_all();
    for key in [OTHER, APP, OTHER] {
        tokio::time::sleep(2 * SECOND).await;
        let guard = checkout(&pool, key, SECOND).await.unwrap();
        assert_eq!(guard.number, 1);
        guard.release_for_all();
    }
    let counters = pool.counters();
    assert_eq!((counters.connects(), counters.handed(), fake.connects()), (1, 3, 1));
    tokio::time::sleep(4 * SECOND).await;
    pool.maintain();
    assert_eq!(checkout(&pool, OTHER, SECOND).await.unwrap().number, 2);
}

/// A place that somebody makes for another is not taken by a third before the connection is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_thread_sees_room_too_early() {
    let fake = Fake::default();
    let pool = fake.pool(limits(5));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..250u32 {
        let pool = Arc::clone(&pool);
        clients.spawn(async move {
            let key = if number % 3 == 0 { OTHER } else { APP };
            for _ in 0..5 {
                let guard = checkout(&pool, key, 60 * SECOND).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
                guard.release_for_all();
            }
        });
    }
    clients.join_all().await;
    assert_eq!(fake.0.most.load(Ordering::Relaxed), 5);
}
