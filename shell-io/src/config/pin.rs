//! Which CPU each core's thread stays on.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Which CPU each core's thread stays on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Wherever the operating system puts it.
    No,
    /// Core 0 on the first CPU that the process may use, core 1 on the second one, as far as they go.
    InOrder,
    /// Core 0 on the first of these CPUs, and so on.
    Listed(Vec<usize>),
}

/// What a [`Pin`] looks like, for messages.
const FORM: &str = "true, false, or a list of different CPU numbers";

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::InOrder => serializer.serialize_bool(true),
            Self::Listed(cpus) => cpus.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PinVisitor)
    }
}

struct PinVisitor;

impl<'de> Visitor<'de> for PinVisitor {
    type Value = Pin;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(FORM)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Pin, E> {
        Ok(if value { Pin::InOrder } else { Pin::No })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pin, A::Error> {
        let mut cpus = Vec::new();
        while let Some(cpu) = list.next_element::<usize>().map_err(|_| de::Error::custom(format!("expected {FORM}")))? {
            if cpus.contains(&cpu) {
                return Err(de::Error::custom(format!("expected {FORM}")));
            }
            cpus.push(cpu);
        }
        Ok(Pin::Listed(cpus))
    }
}
