//! Differences whose causes are known and not mended yet. Each line goes when its cause does; a run
//! says how many scripts it took for one of these.

/// Whether a script's first difference is one of them.
pub fn is_known(difference: &str) -> bool {
    let label = difference.split("\n  ").next().unwrap_or_default();
    let labelled = |words: &[&str]| words.iter().any(|word| label.contains(word));
    // About a read on a replica that had warnings, it sets its variables there.
    labelled(&["GET DIAGNOSTICS", "SELECT @c"])
}
