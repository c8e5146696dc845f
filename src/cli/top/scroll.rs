//! Which part of a list is in sight, where it has more lines than there is room for; pure.

/// Where a key moves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// The place in one list.
#[derive(Debug, Default)]
pub(super) struct Scroll {
    first: usize,
    room: usize,
    len: usize,
}

impl Scroll {
    /// Takes in how long the list is now, and how many lines there are for it. The place stays, but for
    /// lines that would be empty.
    pub(super) fn fit(&mut self, len: usize, room: usize) {
        (self.len, self.room) = (len, room);
        self.first = self.first.min(self.last());
    }

    /// Moves, as far as there is something.
    pub(super) fn go(&mut self, to: Move) {
        let page = self.room.max(1);
        let first = match to {
            Move::Up => self.first.saturating_sub(1),
            Move::Down => self.first.saturating_add(1),
            Move::PageUp => self.first.saturating_sub(page),
            Move::PageDown => self.first.saturating_add(page),
            Move::Home => 0,
            Move::End => self.last(),
        };
        self.first = first.min(self.last());
    }

    /// Whether there is more than what is in sight.
    pub(super) fn has_more(&self) -> bool {
        self.len > self.room
    }

    /// What is in sight.
    pub(super) fn lines<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.first).take(self.room)
    }

    /// The head of the list, with what is in sight of how much, if that is not all.
    pub(super) fn title(&self, name: &str) -> String {
        if !self.has_more() || self.room == 0 {
            return name.to_owned();
        }
        format!("{name} {}-{} of {}", self.first + 1, self.first + self.room, self.len)
    }

    /// The first line of the last full page.
    fn last(&self) -> usize {
        self.len.saturating_sub(self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_within_the_list() {
        let mut scroll = Scroll::default();
        scroll.go(Move::Down);
        scroll.go(Move::End);
        assert_eq!(scroll.title("server"), "server");
        scroll.fit(10, 4);
        for (to, want) in [
            (Move::Up, "x 1-4 of 10"),
            (Move::Down, "x 2-5 of 10"),
            (Move::PageDown, "x 6-9 of 10"),
            (Move::PageDown, "x 7-10 of 10"),
            (Move::Down, "x 7-10 of 10"),
            (Move::PageUp, "x 3-6 of 10"),
            (Move::Home, "x 1-4 of 10"),
            (Move::End, "x 7-10 of 10"),
        ] {
            scroll.go(to);
            assert_eq!(scroll.title("x"), want, "{to:?}");
        }
        assert_eq!(scroll.lines(1..=10).collect::<Vec<_>>(), [7, 8, 9, 10]);
        // The list gets shorter, the room larger.
        scroll.fit(8, 4);
        assert_eq!(scroll.title("x"), "x 5-8 of 8");
        scroll.fit(8, 8);
        assert!(!scroll.has_more() && scroll.lines(1..=8).count() == 8);
        scroll.fit(8, 0);
        assert_eq!((scroll.title("x").as_str(), scroll.lines(1..=8).count()), ("x", 0));
    }
}
