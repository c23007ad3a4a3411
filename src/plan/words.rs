//! Reading those parts of a plan that are either a word or more than that.
//!
//! Written out, so that a mistake within keeps its place and words: serde's untagged enums only say that nothing fits.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};

use super::spec::{Accept, AnyWord, Removal, RemovalSpec, RemovalWord};

impl<'de> Deserialize<'de> for Accept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AcceptVisitor;
        impl<'de> Visitor<'de> for AcceptVisitor {
            type Value = Accept;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of HTTP statuses, or the word any")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Accept, E> {
                AnyWord::deserialize(word.into_deserializer()).map(Accept::Any)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Accept, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Accept::Codes)
            }
            fn visit_unit<E>(self) -> Result<Accept, E> {
                Ok(Accept::None)
            }
        }
        deserializer.deserialize_any(AcceptVisitor)
    }
}

impl<'de> Deserialize<'de> for Removal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RemovalVisitor;
        impl<'de> Visitor<'de> for RemovalVisitor {
            type Value = Removal;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("asRestart, Deny, or steps of its own")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Removal, E> {
                RemovalWord::deserialize(word.into_deserializer()).map(Removal::Word)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Removal, A::Error> {
                RemovalSpec::deserialize(MapAccessDeserializer::new(map)).map(|steps| Removal::Steps(Box::new(steps)))
            }
            fn visit_unit<E>(self) -> Result<Removal, E> {
                Ok(Removal::None)
            }
        }
        deserializer.deserialize_any(RemovalVisitor)
    }
}
