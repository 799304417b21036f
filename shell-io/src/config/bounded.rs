//! An integer that is within its range by construction, so that no check can be forgotten and none is made twice.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// An integer from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<T, const MIN: u64, const MAX: u64>(T);

impl<T, const MIN: u64, const MAX: u64> Bounded<T, MIN, MAX>
where
    T: Copy + Into<u64> + TryFrom<u64>,
{
    /// The integer, or `None` when it is out of range.
    pub fn new(value: T) -> Option<Self> {
        (MIN..=MAX).contains(&value.into()).then_some(Self(value))
    }

    /// A default of a section.
    ///
    /// # Panics
    /// When it is out of range, which the test of the defaults would show.
    pub(super) fn default_of(value: T) -> Self {
        assert!((MIN..=MAX).contains(&value.into()), "a default is out of its range");
        Self(value)
    }

    /// The integer.
    pub const fn get(self) -> T {
        self.0
    }
}

impl<T: Copy + Into<u64>, const MIN: u64, const MAX: u64> Serialize for Bounded<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.into())
    }
}

impl<'de, T: TryFrom<u64>, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(RangeVisitor(PhantomData))
    }
}

struct RangeVisitor<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Visitor<'_> for RangeVisitor<T, MIN, MAX> {
    type Value = Bounded<T, MIN, MAX>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an integer from {MIN} to {MAX}")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        let unexpected = || E::invalid_value(de::Unexpected::Unsigned(value), &self);
        if !(MIN..=MAX).contains(&value) {
            return Err(unexpected());
        }
        T::try_from(value).map(Bounded).map_err(|_| unexpected())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Bounded<u8, 2, 7>;

    #[test]
    fn both_ends_of_the_range_belong_to_it() {
        assert_eq!([1, 2, 7, 8].map(|value| Small::new(value).is_some()), [false, true, true, false]);
    }

    #[test]
    fn a_range_beyond_its_type_does_not_wrap() {
        let wide = toml::Value::Integer(256 + 3).try_into::<Bounded<u8, 0, 1000>>();
        assert!(wide.is_err());
        assert_eq!(toml::Value::Integer(3).try_into::<Bounded<u8, 0, 1000>>().map(Bounded::get), Ok(3));
    }
}
