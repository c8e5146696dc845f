//! The fixed, log-spaced buckets of every latency histogram.
//!
//! Two buckets per doubling, from about 1 µs to about 17 s: the bounds are 2^k and 1.5 · 2^k
//! nanoseconds, so the bucket of a value is found from its leading zeros and the bit after them.
//! No float, no loop, no table, no clock: the caller measures and passes nanoseconds.
//!
//! Deliberately absent: bounds by configuration. Equal bounds everywhere let dashboards add the
//! histograms of many lagwise processes.

/// Everything up to 2^FIRST nanoseconds (1.024 µs) is one bucket: below it lies noise.
const FIRST: u32 = 10;
/// Doublings above the first bound; the last finite bound is 2^34 ns, about 17.2 s.
const DOUBLINGS: u32 = 24;

/// Buckets with a finite upper bound.
pub(super) const FINITE: usize = 1 + 2 * DOUBLINGS as usize;
/// All buckets; the last one has no upper bound.
pub(super) const BUCKETS: usize = FINITE + 1;

/// Index of the bucket that holds `nanos`; always below [`BUCKETS`].
#[inline]
pub(super) const fn bucket_of(nanos: u64) -> usize {
    // Upper bounds are inclusive (`le`), so 2^k itself belongs below the bound.
    let value = nanos.saturating_sub(1);
    if value < 1 << FIRST {
        return 0;
    }
    let exponent = 63 - value.leading_zeros();
    let half = (value >> (exponent - 1)) & 1;
    let index = 1 + 2 * (exponent - FIRST) as usize + half as usize;
    if index < FINITE { index } else { FINITE }
}

/// Inclusive upper bound in nanoseconds of the finite bucket `index`; `None` from the last on.
pub(super) const fn upper_bound(index: usize) -> Option<u64> {
    match index {
        0 => Some(1 << FIRST),
        1..FINITE => {
            let doubling = 1u64 << (FIRST as usize + (index - 1) / 2);
            Some(if index % 2 == 1 { doubling + doubling / 2 } else { doubling * 2 })
        }
        _ => None,
    }
}

/// The value that a share (0 to 1) of those counted does not exceed, in nanoseconds: between the bounds of
/// its bucket in proportion. `None` if none was counted. Beyond the last bound it is that bound.
pub(super) fn percentile(counts: &[u64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let wanted = total as f64 * share;
    let (mut below, mut lower) = (0, 0);
    for (index, count) in counts.iter().copied().enumerate() {
        let upper = upper_bound(index).unwrap_or(lower);
        if count > 0 && (below + count) as f64 >= wanted {
            let part = ((wanted - below as f64) / count as f64).clamp(0.0, 1.0);
            return Some(lower as f64 + (upper - lower) as f64 * part);
        }
        below += count;
        lower = upper;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_grow_and_each_bound_is_the_last_value_of_its_bucket() {
        let bounds: Vec<u64> = (0..BUCKETS).filter_map(upper_bound).collect();
        assert_eq!(bounds.len(), FINITE);
        assert_eq!((bounds[0], bounds[1], bounds[2]), (1024, 1536, 2048));
        assert_eq!(bounds.last(), Some(&(1 << 34)));
        for (index, pair) in bounds.windows(2).enumerate() {
            assert!(pair[0] < pair[1]);
            assert_eq!(bucket_of(pair[0]), index);
            assert_eq!(bucket_of(pair[0] + 1), index + 1);
        }
    }

    #[test]
    fn extremes_have_a_bucket() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(1 << 34), FINITE - 1);
        assert_eq!(bucket_of((1 << 34) + 1), FINITE);
        assert_eq!(bucket_of(u64::MAX), FINITE);
    }

    #[test]
    fn percentiles() {
        let check = |values: &[u64], share: f64, want: Option<f64>| {
            let mut counts = [0; BUCKETS];
            values.iter().for_each(|value| counts[bucket_of(*value)] += 1);
            assert_eq!(percentile(&counts, share), want, "{values:?} {share}");
        };
        check(&[], 0.5, None);
        check(&[1], 0.5, Some(512.0));
        check(&[1], 1.0, Some(1024.0));
        check(&[2000, 2000], 0.5, Some(1792.0));
        check(&[1, 2000], 0.5, Some(1024.0));
        check(&[1, 2000], 0.99, Some(1536.0 + 512.0 * 0.98));
        check(&[u64::MAX], 0.99, Some((1u64 << 34) as f64));
        assert_eq!(percentile(&[], 0.5), None);
    }

    proptest! {
        /// The arithmetic agrees with a plain search through the bounds.
        #[test]
        fn same_as_a_search(nanos in prop_oneof![0u64..5_000, 0u64..1 << 36, any::<u64>()]) {
            let searched = (0..FINITE)
                .find(|index| upper_bound(*index).is_some_and(|bound| nanos <= bound))
                .unwrap_or(FINITE);
            prop_assert_eq!(bucket_of(nanos), searched);
        }
    }
}
