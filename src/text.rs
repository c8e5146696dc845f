//! Texts that are shown to people: not longer than they are read. Pure.

/// The beginning of a text: at most so many bytes, and whole characters.
pub fn cut(text: &str, most_bytes: usize) -> &str {
    let mut end = text.len().min(most_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn between_two_characters() {
        for (text, most, want) in
            [("abc", 2, "ab"), ("abc", 3, "abc"), ("aé", 2, "a"), ("é", 0, "")]
        {
            assert_eq!(cut(text, most), want, "{text} {most}");
        }
    }
}
