//! PURE. A span of time as people write it: `90s`, `10m`, `1h`, `7d`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(pub u64);

impl Lifetime {
    /// Its seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

/// Not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALifetime;

impl fmt::Display for NotALifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a span of time: write a number and s, m, h or d, such as \"10m\"")
    }
}

impl std::error::Error for NotALifetime {}

impl std::str::FromStr for Lifetime {
    type Err = NotALifetime;

    fn from_str(text: &str) -> Result<Self, NotALifetime> {
        let (number, unit) = match text.char_indices().next_back() {
            Some((_, last)) if last.is_ascii_digit() => (text, 1),
            Some((at, 's')) => (&text[..at], 1),
            Some((at, 'm')) => (&text[..at], 60),
            Some((at, 'h')) => (&text[..at], 3_600),
            Some((at, 'd')) => (&text[..at], 86_400),
            _ => return Err(NotALifetime),
        };
        if !number.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotALifetime);
        }
        let number: u64 = number.parse().map_err(|_| NotALifetime)?;
        number.checked_mul(unit).map(Self).ok_or(NotALifetime)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        match seconds {
            0 => formatter.write_str("0s"),
            _ if seconds.is_multiple_of(86_400) => write!(formatter, "{}d", seconds / 86_400),
            _ if seconds.is_multiple_of(3_600) => write!(formatter, "{}h", seconds / 3_600),
            _ if seconds.is_multiple_of(60) => write!(formatter, "{}m", seconds / 60),
            _ => write!(formatter, "{seconds}s"),
        }
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = Lifetime;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a span of time such as \"10m\", or whole seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Lifetime, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E>(self, seconds: u64) -> Result<Lifetime, E> {
                Ok(Lifetime(seconds))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Lifetime, E> {
                u64::try_from(seconds).map(Lifetime).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h", 3_600), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Lifetime(seconds)), "{text}");
            assert_eq!(Lifetime(seconds).to_string(), text);
        }
        assert_eq!("600".parse(), Ok(Lifetime(600)));
        for text in ["", "m", "-1s", "+1s", "1.5h", "10 m", "10M", "1w", "18446744073709551615d", "١٠m", "1é"] {
            assert_eq!(text.parse::<Lifetime>(), Err(NotALifetime), "{text}");
        }
    }
}
