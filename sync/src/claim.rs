//! `Claim`: who may write a stream at a target, taken there by compare-and-set.

use serde::{Deserialize, Serialize};

use crate::sink::Hello;

/// The right to write one store's stream at one target.
///
/// Orders by epoch, then generation: a store takes a higher generation with every process that opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The store's epoch, which grows with each restore.
    pub epoch: u64,
    /// One more with each process that took the stream.
    pub generation: u64,
    /// Random, of that process; in JSON 32 hex digits.
    #[serde(with = "hex")]
    pub owner: u128,
}

impl Claim {
    const fn order(&self) -> (u64, u64) {
        (self.epoch, self.generation)
    }
}

/// What a target answers to a store that wants to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimDecision {
    /// The claim is given to it now.
    Take,
    /// It holds the claim already: the answer to an earlier request was lost.
    Ours,
    /// Another copy of the store wrote here.
    Fenced,
}

impl ClaimDecision {
    /// The rule, the same for every target: `held` is what stands there, in the transaction that would
    /// replace it.
    ///
    /// A store may take over from itself (the claim that it was last confirmed, or one whose confirmation
    /// got lost), from an older state of itself (the target was restored from a copy) and from an older
    /// epoch. Of two copies of a folder the second finds a claim that is none of these and is fenced.
    pub fn of(held: Option<&Claim>, hello: &Hello) -> Self {
        let Some(held) = held else { return Self::Take };
        if *held == hello.claim {
            return Self::Ours;
        }
        if hello.takeover || held.epoch < hello.claim.epoch {
            return Self::Take;
        }
        if hello.unanswered.contains(held) {
            return Self::Take;
        }
        match hello.previous {
            Some(previous) if *held == previous || held.order() < previous.order() => Self::Take,
            _ => Self::Fenced,
        }
    }
}

/// 32 hex digits, because JSON numbers end at 64 bits.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:032x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use barkeeper_records::Timestamp;

    use super::*;

    fn claim(epoch: u64, generation: u64, owner: u128) -> Claim {
        Claim { epoch, generation, owner }
    }

    fn claim_lost() -> Claim {
        claim(1, 4, 40)
    }

    fn hello(claim: Claim, previous: Option<Claim>) -> Hello {
        Hello {
            store_id: 1,
            device: 1,
            claim,
            previous,
            unanswered: vec![claim_lost()],
            takeover: false,
            incarnation: None,
            at: Timestamp::default(),
        }
    }

    #[test]
    fn a_store_takes_over_from_itself_and_from_older_states_of_itself() {
        let next = hello(claim(1, 4, 44), Some(claim(1, 3, 33)));
        for (held, expected) in [
            (None, ClaimDecision::Take),
            (Some(claim(1, 3, 33)), ClaimDecision::Take),
            (Some(claim(1, 4, 44)), ClaimDecision::Ours),
            (Some(claim_lost()), ClaimDecision::Take),
            (Some(claim(1, 1, 11)), ClaimDecision::Take),
            (Some(claim(0, 9, 99)), ClaimDecision::Take),
        ] {
            assert_eq!(ClaimDecision::of(held.as_ref(), &next), expected, "{held:?}");
        }
    }

    #[test]
    fn a_copy_is_fenced_unless_a_person_takes_over() {
        let mut next = hello(claim(1, 4, 45), Some(claim(1, 3, 33)));
        for held in [claim(1, 4, 44), claim(1, 3, 34), claim(1, 5, 55), claim(2, 1, 10)] {
            assert_eq!(ClaimDecision::of(Some(&held), &next), ClaimDecision::Fenced, "{held:?}");
        }
        assert_eq!(
            ClaimDecision::of(Some(&claim(1, 1, 5)), &hello(claim(1, 1, 6), None)),
            ClaimDecision::Fenced
        );
        next.takeover = true;
        assert_eq!(ClaimDecision::of(Some(&claim(2, 9, 10)), &next), ClaimDecision::Take);
    }

    #[test]
    fn json_keeps_every_bit_of_an_owner() {
        let all = claim(u64::MAX, 1, u128::MAX - 5);
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Claim>(&text).unwrap(), all);
    }
}
