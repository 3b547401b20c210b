//! Which parts to make. Pure.
//!
//! Parts are of up to [`WHOLE`] bytes of the log. A log that goes on to a bucket ends a segment each minute: parts of few
//! small ones are made into larger ones as more come, each a few times at the most, so that there never are many.

/// So many bytes of a log are a part.
pub const WHOLE: u64 = 64 << 20;

/// A part that is there: of which segments, and of how many bytes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct There {
    /// The first segment.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// The segments of each part that is to be made, given what is there, and the segments that are over with about as many bytes as
/// each has. Both in order.
pub fn plan(there: &[There], over: &[(u64, u64)]) -> Vec<Vec<u64>> {
    let has = |number: u64| there.iter().any(|part| (part.first..=part.last).contains(&number));
    let (mut parts, mut bytes): (Vec<Vec<u64>>, u64) = (Vec::new(), 0);
    let mut goes_on = false;
    for (number, size) in over {
        if has(*number) {
            goes_on = false;
            continue;
        }
        match parts.last_mut().filter(|_| goes_on && bytes + size <= WHOLE) {
            Some(part) => {
                part.push(*number);
                bytes += size;
            }
            None => {
                parts.push(vec![*number]);
                bytes = *size;
            }
        }
        goes_on = true;
    }
    // The newest takes those before it along that are not much larger than it is.
    let newest = over.last().map(|(number, _)| *number);
    if let Some(part) = parts.last_mut().filter(|part| part.last().copied() == newest) {
        let mut before: Vec<&There> = there.iter().filter(|there| Some(&there.last) < part.first()).collect();
        while let Some(last) = before.pop() {
            let between = |(number, _): &&(u64, u64)| *number > last.last && Some(number) < part.first();
            // The oldest may have gone to a bucket: what can't be read again stays as it is.
            let gone = over.first().is_none_or(|(oldest, _)| *oldest > last.first);
            if gone
                || bytes + last.bytes > WHOLE
                || last.bytes > 2 * bytes
                || over.iter().any(|segment| between(&segment))
            {
                break;
            }
            let along =
                over.iter().map(|(number, _)| *number).filter(|number| (last.first..=last.last).contains(number));
            part.splice(0..0, along.collect::<Vec<_>>());
            bytes += last.bytes;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_whole_size_and_holes_are_filled() {
        let there = |first, last, bytes| There { first, last, bytes };
        let big = |range: std::ops::RangeInclusive<u64>| range.map(|number| (number, WHOLE - 5)).collect::<Vec<_>>();
        let small = |range: std::ops::RangeInclusive<u64>| range.map(|number| (number, 1000)).collect::<Vec<_>>();
        let table = [
            (vec![], vec![], vec![]),
            (vec![], big(1..=3), vec![vec![1], vec![2], vec![3]]),
            (vec![there(1, 1, WHOLE - 5)], big(1..=2), vec![vec![2]]),
            (vec![], small(1..=4), vec![vec![1, 2, 3, 4]]),
            // One of the same size, or twice it, comes along; a larger one does not.
            (vec![there(1, 1, 1000)], small(1..=2), vec![vec![1, 2]]),
            (vec![there(1, 2, 2000), there(3, 3, 1000)], small(1..=4), vec![vec![1, 2, 3, 4]]),
            (vec![there(1, 4, 4000)], small(1..=5), vec![vec![5]]),
            // Somebody took one away.
            (vec![there(1, 1, WHOLE), there(3, 3, WHOLE)], big(1..=3), vec![vec![2]]),
            (vec![there(1, 1, 1000), there(3, 3, 1000)], small(1..=4), vec![vec![2], vec![3, 4]]),
            // The first of its segments are in a bucket only.
            (vec![there(1, 10, 1000)], small(9..=11), vec![vec![11]]),
            // All is there.
            (vec![there(1, 9, 10)], small(1..=9), vec![]),
        ];
        for (there, over, expected) in table {
            assert_eq!(plan(&there, &over), expected, "{there:?} {over:?}");
        }
    }

    #[test]
    fn many_small_segments_make_few_parts_and_each_is_read_a_few_times() {
        let (mut there, mut read) = (Vec::<There>::new(), 0);
        let over: Vec<(u64, u64)> = (1..=2000).map(|number| (number, 1 << 20)).collect();
        for now in 1..=over.len() {
            for part in plan(&there, &over[..now]) {
                let (first, last) = (part[0], part[part.len() - 1]);
                there.retain(|part| part.first < first || part.last > last);
                there.push(There { first, last, bytes: (part.len() as u64) << 20 });
                read += part.len();
            }
        }
        assert!(there.len() < 80, "{} parts", there.len());
        assert!(read < 2000 * 8, "{read} segments were read");
        assert!(there.windows(2).all(|two| two[0].last + 1 == two[1].first), "{there:?}");
    }
}
