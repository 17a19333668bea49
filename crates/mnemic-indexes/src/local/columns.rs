//! One time field of all rows, sorted for ranges. Not here: the other fields (`labels`) and the filter itself (`filter`).

use std::ops::Bound;

use roaring::RoaringBitmap;

use super::rows::Ordinal;

/// New entries that are kept apart until they are worth a merge.
const TAIL: usize = 1024;

/// The instants of one field, in microseconds, with the rows that hold them. Entries of dead rows stay until `compact`.
#[derive(Debug, Default)]
pub(crate) struct TimeColumn {
    /// Sorted by instant.
    sorted: Vec<(i64, Ordinal)>,
    /// In order of arrival. Records mostly arrive in the order of their times, so this mostly stays empty.
    tail: Vec<(i64, Ordinal)>,
    /// Living rows that hold a value.
    present: RoaringBitmap,
}

impl TimeColumn {
    pub(crate) fn insert(&mut self, micros: i64, row: Ordinal) {
        self.present.insert(row);
        if self.tail.is_empty() && self.sorted.last().is_none_or(|(last, _)| *last <= micros) {
            self.sorted.push((micros, row));
            return;
        }
        self.tail.push((micros, row));
        if self.tail.len() >= TAIL.max(self.sorted.len() / 8) {
            self.sorted.append(&mut self.tail);
            self.sorted.sort_unstable();
        }
    }

    pub(crate) fn remove(&mut self, row: Ordinal) {
        self.present.remove(row);
    }

    /// Living rows that hold a value.
    pub(crate) fn present(&self) -> &RoaringBitmap {
        &self.present
    }

    /// Living rows whose value lies within the bounds.
    pub(crate) fn range(&self, low: Bound<i64>, high: Bound<i64>) -> RoaringBitmap {
        let above = |micros: i64| match low {
            Bound::Included(low) => micros >= low,
            Bound::Excluded(low) => micros > low,
            Bound::Unbounded => true,
        };
        let below = |micros: i64| match high {
            Bound::Included(high) => micros <= high,
            Bound::Excluded(high) => micros < high,
            Bound::Unbounded => true,
        };
        let start = self.sorted.partition_point(|(micros, _)| !above(*micros));
        let end = self.sorted.partition_point(|(micros, _)| below(*micros)).max(start);
        let (before, rest) = self.sorted.split_at(start);
        let (inside, after) = rest.split_at(end - start);
        // The smaller side is collected; most questions are "not yet expired", which nearly everything passes.
        if inside.len() <= before.len() + after.len() {
            let tail = self.tail.iter().filter(|(micros, _)| above(*micros) && below(*micros));
            bitmap(inside.iter().chain(tail)) & &self.present
        } else {
            let tail = self.tail.iter().filter(|(micros, _)| !(above(*micros) && below(*micros)));
            &self.present - bitmap(before.iter().chain(after).chain(tail))
        }
    }

    /// Takes over new ordinals and drops entries of dead rows.
    pub(crate) fn compact(&mut self, moved: &[Option<Ordinal>]) {
        let mut entries = std::mem::take(&mut self.sorted);
        entries.append(&mut self.tail);
        let present = &self.present;
        entries.retain(|(_, row)| present.contains(*row));
        self.sorted = entries
            .into_iter()
            .filter_map(|(micros, row)| moved.get(row as usize).copied().flatten().map(|row| (micros, row)))
            .collect();
        self.sorted.sort_unstable();
        self.present = bitmap(self.sorted.iter());
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        ((self.sorted.len() + self.tail.len()) * size_of::<(i64, Ordinal)>()) as u64
    }
}

fn bitmap<'a>(entries: impl Iterator<Item = &'a (i64, Ordinal)> + Clone) -> RoaringBitmap {
    let Some(highest) = entries.clone().map(|(_, row)| *row).max() else { return RoaringBitmap::new() };
    if highest < 4096 {
        return entries.map(|(_, row)| *row).collect();
    }
    // Setting bits in a flat array and converting it once is several times faster than inserting out of order.
    let mut bits = vec![0u8; highest as usize / 8 + 1];
    for (_, row) in entries {
        if let Some(byte) = bits.get_mut(*row as usize / 8) {
            *byte |= 1 << (row % 8);
        }
    }
    RoaringBitmap::from_lsb0_bytes(0, &bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_finds_the_living_rows_within_it_whatever_the_order_of_arrival() {
        for rows in [10u32, 3000, 20_000] {
            let mut column = TimeColumn::default();
            let value = |row: u32| i64::from(row.wrapping_mul(2_654_435_761) % 1000);
            (0..rows).for_each(|row| column.insert(value(row), row));
            (0..rows).step_by(3).for_each(|row| column.remove(row));
            for (low, high) in [(0, 1000), (100, 200), (900, 1200), (500, 499), (0, 900), (-5, -1)] {
                let expected: RoaringBitmap =
                    (0..rows).filter(|row| row % 3 != 0 && (low..high).contains(&value(*row))).collect();
                assert_eq!(column.range(Bound::Included(low), Bound::Excluded(high)), expected);
                let expected: RoaringBitmap = (0..rows).filter(|row| row % 3 != 0 && value(*row) > low).collect();
                assert_eq!(column.range(Bound::Excluded(low), Bound::Unbounded), expected);
            }
        }
    }

    #[test]
    fn compaction_renumbers_and_forgets_the_dead() {
        let mut column = TimeColumn::default();
        for (micros, row) in [(5, 0), (3, 1), (9, 2)] {
            column.insert(micros, row);
        }
        column.remove(0);
        column.compact(&[None, Some(0), Some(1)]);
        assert_eq!(column.range(Bound::Unbounded, Bound::Included(3)), RoaringBitmap::from([0]));
        assert_eq!(column.present().len(), 2);
    }
}
