//! A set of small numbers, and how it is kept: whichever is shorter of the distances between them, and a bit for each.

/// Which of the numbers below a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    size: usize,
    words: Vec<u64>,
}

impl Set {
    /// None of so many.
    pub fn none(size: usize) -> Self {
        Self { size, words: vec![0; size.div_ceil(64)] }
    }

    /// All of so many.
    pub fn all(size: usize) -> Self {
        let mut set = Self { size, words: vec![u64::MAX; size.div_ceil(64)] };
        if let Some(last) = set.words.last_mut().filter(|_| !size.is_multiple_of(64)) {
            *last = (1 << (size % 64)) - 1;
        }
        set
    }

    /// Adds one. What is not below the size is none of it.
    pub fn insert(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64).filter(|_| number < self.size) {
            *word |= 1 << (number % 64);
        }
    }

    /// Adds `from..until`.
    pub fn insert_all(&mut self, from: usize, until: usize) {
        (from..until.min(self.size)).for_each(|number| self.insert(number));
    }

    /// Whether it is one of them.
    pub fn has(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Only what is in `other` too.
    pub fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// And what is in `other`.
    pub fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// How many there are in both.
    pub fn shared(&self, other: &Self) -> u64 {
        self.words.iter().zip(&other.words).map(|(word, other)| u64::from((word & other).count_ones())).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// They, the smallest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let nonzero = |left: &u64| *left != 0;
            std::iter::successors(Some(*word).filter(nonzero), move |left| Some(left & (left - 1)).filter(nonzero))
                .map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }
}

const DISTANCES: u8 = 0;
const BITS: u8 = 1;

/// Adds a number, seven bits to a byte, the lowest first.
pub fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number off the beginning; `None` where there is none.
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Encodes numbers below `size`, given in order.
pub fn encode(numbers: &[u32], size: usize) -> Vec<u8> {
    let mut out = vec![DISTANCES];
    let mut before = 0;
    for number in numbers {
        put(u64::from(number - before), &mut out);
        before = *number;
        if out.len() > size.div_ceil(8) {
            out = vec![BITS];
            out.resize(1 + size.div_ceil(8), 0);
            for number in numbers {
                if let Some(byte) = out.get_mut(1 + *number as usize / 8) {
                    *byte |= 1 << (number % 8);
                }
            }
            break;
        }
    }
    out
}

/// Reads what [`encode`] wrote; `None` where it did not.
pub fn decode(bytes: &[u8], size: usize) -> Option<Set> {
    let (how, mut rest) = bytes.split_first()?;
    let mut set = Set::none(size);
    match *how {
        DISTANCES => {
            let mut number = 0;
            while !rest.is_empty() {
                number += usize::try_from(take(&mut rest)?).ok()?;
                if number >= size {
                    return None;
                }
                set.insert(number);
            }
        }
        BITS if rest.len() == size.div_ceil(8) => {
            for (at, bytes) in rest.chunks(8).enumerate() {
                let mut word = [0; 8];
                word.get_mut(..bytes.len())?.copy_from_slice(bytes);
                *set.words.get_mut(at)? = u64::from_le_bytes(word);
            }
        }
        _ => return None,
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_back_as_it_was_however_it_is_kept() {
        let every = |step: usize, size: u32| (0..size).step_by(step).collect::<Vec<u32>>();
        let table = [
            (vec![], 0),
            (vec![], 100),
            (vec![0], 1),
            (vec![99], 100),
            (every(1, 64), 64),
            (every(1, 1000), 1000),
            (every(2, 1001), 1001),
            (every(300, 70_000), 70_000),
            (vec![5, 200_000], 200_001),
        ];
        for (numbers, size) in table {
            let bytes = encode(&numbers, size);
            assert!(bytes.len() <= 1 + size.div_ceil(8), "{} for {size}", bytes.len());
            let set = decode(&bytes, size).unwrap();
            assert_eq!(set.iter().collect::<Vec<_>>(), numbers.iter().map(|n| *n as usize).collect::<Vec<_>>());
            assert_eq!(set.shared(&set), numbers.len() as u64);
            assert_eq!(set.is_empty(), numbers.is_empty());
            assert!(numbers.iter().all(|number| set.has(*number as usize)) && !set.has(size));
        }
        assert_eq!(Set::all(70).iter().count(), 70);
        assert!(decode(&[], 8).is_none() && decode(&[DISTANCES, 9], 8).is_none() && decode(&[BITS], 8).is_none());
        assert!(decode(&[2, 0], 8).is_none() && decode(&[DISTANCES, 0x80], 300).is_none());
    }
}
