//! Connections that are left where their sessions find them again without asking the pool.

use super::*;
use crate::pool::spot::LEFT_FOR;

/// A session's connection, given back once through the pool: from then on it may be left.
async fn begin(pool: &Arc<Pool<Fake>>) -> Ticket<Fake> {
    checkout(pool, APP, SECOND).await.unwrap().release().unwrap()
}

/// What the store has of idle connections, those not counted that were left.
fn parked(pool: &Arc<Pool<Fake>>) -> usize {
    pool.lock().idle()
}

fn come_back(pool: &Arc<Pool<Fake>>, ticket: Ticket<Fake>) -> Option<Guard<Fake>> {
    pool.take_own(&APP, WISH, ticket)
}

#[tokio::test(start_paused = true)]
async fn a_session_comes_back_without_the_pool() {
    let fake = Fake::default();
    let pool = fake.pool(limits(2));
    let mut ticket = begin(&pool).await;
    assert_eq!(parked(&pool), 1, "one that was just opened goes through the pool");
    for _ in 0..5 {
        ticket = come_back(&pool, ticket).unwrap().release().unwrap();
        assert_eq!(parked(&pool), 0);
    }
    assert_eq!(pool.checkouts()[0], ("own", 5));
    // Whoever looks sees it.
    assert_eq!((pool.levels().idle, parked(&pool)), (1, 1));
    let guard = come_back(&pool, ticket).unwrap();
    assert_eq!((pool.levels().idle, pool.levels().open), (0, 1));
    drop(guard.release().unwrap());
    // Nobody's now.
    let guard = checkout(&pool, APP, SECOND).await.unwrap();
    assert_eq!((guard.number, pool.levels().open), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_another_has_left_is_not_ones_own() {
    let fake = Fake::default();
    let pool = fake.pool(limits(1));
    let first = come_back(&pool, begin(&pool).await).unwrap().release().unwrap();
    let second = checkout(&pool, APP, SECOND).await.unwrap().release().unwrap();
    assert_eq!(parked(&pool), 0, "it is left in its spot");
    assert!(come_back(&pool, first).is_none());
    assert!(come_back(&pool, second).is_some());
    let ticket = begin(&pool).await;
    let first = come_back(&pool, ticket).unwrap().release().unwrap();
    let second = checkout(&pool, APP, SECOND).await.unwrap().release().unwrap();
    drop(first);
    assert!(come_back(&pool, second).is_some(), "it is still the other's");
}

#[tokio::test(start_paused = true)]
async fn others_find_what_was_left() {
    let fake = Fake::default();
    let pool = fake.pool(limits(1));
    let ticket = come_back(&pool, begin(&pool).await).unwrap().release().unwrap();
    // At once, where no other can be opened; also another account, which has it made its own.
    let guard = checkout(&pool, APP, SECOND).await.unwrap();
    assert_eq!(guard.number, 1);
    assert!(come_back(&pool, ticket).is_none());
    let ticket = guard.release().unwrap();
    let guard = checkout(&pool, OTHER, SECOND).await.unwrap();
    assert!(come_back(&pool, ticket).is_none());
    guard.release_for_all();
    assert_eq!(pool.levels(), Levels { open: 1, idle: 1, ..Levels::default() });
    // And the one that closes all of them.
    let ticket = come_back(&pool, begin(&pool).await).unwrap().release().unwrap();
    pool.clear();
    closed().await;
    assert_eq!((pool.levels().open, come_back(&pool, ticket).is_none()), (0, true));
    let guard = come_back(&pool, begin(&pool).await).unwrap();
    pool.close();
    assert!(guard.release().is_none());
    closed().await;
    assert_eq!(pool.levels(), Levels::default());
}

#[tokio::test(start_paused = true)]
async fn what_was_left_long_ago_or_is_old_goes_through_the_pool() {
    let fake = Fake::default();
    let limits = Limits { idle_timeout: SECOND, max_lifetime: 10 * SECOND, ..limits(1) };
    let pool = fake.pool(limits);
    let leave = |guard: Guard<Fake>| {
        let mut guard = guard;
        guard.ready_since = Some(Instant::now());
        guard.release()
    };
    let ticket = leave(come_back(&pool, begin(&pool).await).unwrap()).unwrap();
    tokio::time::sleep(LEFT_FOR).await;
    let ticket = leave(come_back(&pool, ticket).unwrap()).unwrap();
    // The server may be closing it.
    tokio::time::sleep(SECOND * 95 / 100).await;
    assert!(come_back(&pool, ticket).is_none());
    let guard = come_back(&pool, begin(&pool).await).unwrap();
    assert_eq!(guard.number, 2);
    tokio::time::sleep(10 * SECOND).await;
    assert!(leave(guard).is_none());
    closed().await;
    assert_eq!(pool.levels(), Levels::default());
}

/// Nobody waits for what lies in a spot, whichever of the two threads is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_never_forgotten() {
    let fake = Fake::default();
    let pool = fake.pool(limits(1));
    let mut ticket = begin(&pool).await;
    for round in 0..20_000 {
        let guard = match come_back(&pool, ticket) {
            Some(guard) => guard,
            None => checkout(&pool, APP, SECOND).await.unwrap(),
        };
        let other = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { checkout(&pool, APP, 20 * SECOND).await.map(|guard| guard.release()) }
        });
        for _ in 0..round % 1500 {
            std::hint::spin_loop();
        }
        // Its session says nothing from now on.
        let left = guard.release();
        let others = other.await.unwrap().unwrap_or_else(|error| panic!("{round}: {error}"));
        drop(left);
        ticket = others.unwrap();
    }
    assert_eq!(pool.levels(), Levels { open: 1, idle: 1, ..Levels::default() });
    let own = pool.checkouts()[0].1;
    assert!(own > 10_000, "{own}");
}

/// Sessions come and go, and no connection is lost or is two sessions' own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_share_what_they_leave() {
    let fake = Fake::default();
    let pool = fake.pool(limits(3));
    let mut sessions = tokio::task::JoinSet::new();
    let in_use = Arc::new([const { AtomicBool::new(false) }; 8]);
    for _ in 0..8 {
        let (pool, in_use) = (Arc::clone(&pool), Arc::clone(&in_use));
        sessions.spawn(async move {
            let mut ticket = None;
            for round in 0..1000u32 {
                let own = ticket.take().and_then(|ticket| come_back(&pool, ticket));
                let guard = match own {
                    Some(guard) => guard,
                    None => checkout(&pool, APP, 20 * SECOND).await.unwrap(),
                };
                let number = guard.number;
                assert!(!in_use[number].swap(true, Ordering::SeqCst));
                tokio::task::yield_now().await;
                in_use[number].store(false, Ordering::SeqCst);
                ticket = guard.release();
                match round % 7 {
                    0 => tokio::time::sleep(Duration::from_millis(1)).await,
                    1 => drop(ticket.take()),
                    _ => tokio::task::yield_now().await,
                }
            }
        });
    }
    sessions.join_all().await;
    assert_eq!(fake.0.most.load(Ordering::Relaxed), 3);
    assert_eq!(pool.levels(), Levels { open: 3, idle: 3, ..Levels::default() });
}
