//! Enums whose values are words in `proxy.toml`: spelled once, used for reading, for listing
//! what is allowed, and for printing.

/// A value written as one of a few words.
pub trait Word: Copy + 'static {
    /// Every value, in the order in which an error lists them.
    const ALL: &'static [Self];

    /// The word in `proxy.toml`.
    fn word(self) -> &'static str;

    /// The value that `text` spells. Case matters, as everywhere in the file.
    fn from_word(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == text)
    }
}

/// Declares an enum together with its words.
macro_rules! word_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $crate::config::Word for $name {
            const ALL: &'static [Self] = &[$( Self::$variant, )+];

            fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::config::Word::word(*self))
            }
        }
    };
}
