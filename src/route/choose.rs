//! Which of several equally good replicas takes a read: the power of two choices.
//!
//! Two are drawn at random and the one with less to do wins. This costs the same with two replicas or
//! two hundred, spreads load nearly as well as asking all of them, and does not send every session to
//! one replica at the same moment, as "the least loaded of all" does with counters read concurrently
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").

/// A replica that the cluster already judged eligible and equal in lag to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which member it is; of no meaning here.
    pub member: usize,
    /// 1..=1000; 0 for never.
    pub weight: u32,
    /// Statements that it is running for lagwise now.
    pub outstanding: u32,
}

/// Two different positions below `len`, drawn by 64 random bits; the same one twice for `len` 1, and
/// `(0, 0)` for 0, which the caller must have excluded.
pub fn choose_two(len: usize, random: u64) -> (usize, usize) {
    if len < 2 {
        return (0, 0);
    }
    let first = below(len, (random >> 32) as u32);
    let other = below(len - 1, random as u32);
    (first, if other >= first { other + 1 } else { other })
}

/// The candidate with fewer outstanding statements for its weight; at a tie,
/// which on idle servers is the rule, `random` decides in proportion to the weights. A candidate of weight 0 loses to every other.
pub fn less_loaded(a: &Candidate, b: &Candidate, random: u64) -> usize {
    let winner = match (a.weight, b.weight) {
        (_, 0) => a,
        (0, _) => b,
        _ => {
            // outstanding / weight, compared without division.
            let load_a = u64::from(a.outstanding) * u64::from(b.weight);
            let load_b = u64::from(b.outstanding) * u64::from(a.weight);
            let both = u64::from(a.weight) + u64::from(b.weight);
            match load_a.cmp(&load_b) {
                std::cmp::Ordering::Less => a,
                std::cmp::Ordering::Greater => b,
                std::cmp::Ordering::Equal if random % both < u64::from(a.weight) => a,
                std::cmp::Ordering::Equal => b,
            }
        }
    };
    winner.member
}

/// A number below `len` from 32 random bits, each nearly equally likely (Lemire, "Fast Random Integer
/// Generation in an Interval").
fn below(len: usize, random: u32) -> usize {
    ((u64::from(random) * len as u64) >> 32) as usize
}
