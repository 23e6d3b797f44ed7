//! Distinct values and who has which.

use foldhash::fast::RandomState;
use std::hash::BuildHasher;

/// Distinct numbers in the order they were first seen, and for each value its place among them.
pub(super) struct Dictionary {
    pub(super) values: Vec<u64>,
    pub(super) keys: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

/// `None`: more than `most` are distinct.
pub(super) fn numbers(values: &[u64], most: usize) -> Option<Dictionary> {
    // Keyed at random: arguments of system calls are an attacker's to choose.
    let hasher = RandomState::default();
    let slot = |value: u64, mask: usize| hasher.hash_one(value) as usize & mask;
    let mut slots = vec![EMPTY; 256];
    let mut known: Vec<u64> = Vec::new();
    let mut keys = Vec::with_capacity(values.len());
    let mut last = (0, EMPTY);
    for value in values {
        if last.1 != EMPTY && last.0 == *value {
            keys.push(last.1);
            continue;
        }
        let mask = slots.len() - 1;
        let mut at = slot(*value, mask);
        let key = loop {
            match slots[at] {
                EMPTY => {
                    if known.len() >= most {
                        return None;
                    }
                    let key = known.len() as u32;
                    slots[at] = key;
                    known.push(*value);
                    break key;
                }
                key if known[key as usize] == *value => break key,
                _ => at = (at + 1) & mask,
            }
        };
        last = (*value, key);
        keys.push(key);
        if known.len() * 2 > slots.len() {
            let mask = slots.len() * 4 - 1;
            slots = vec![EMPTY; mask + 1];
            for (key, value) in (0..).zip(&known) {
                let mut at = slot(*value, mask);
                while slots[at] != EMPTY {
                    at = (at + 1) & mask;
                }
                slots[at] = key;
            }
        }
    }
    Some(Dictionary { values: known, keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_back_to_values() {
        let values: Vec<u64> = (0..5000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 900).collect();
        let found = numbers(&values, 900).unwrap();
        assert!(found.values.len() <= 900);
        let back: Vec<u64> = found.keys.iter().map(|key| found.values[*key as usize]).collect();
        assert_eq!(back, values);
        assert!(numbers(&values, found.values.len() - 1).is_none());
        assert!(numbers(&[], 0).unwrap().keys.is_empty());
    }
}
