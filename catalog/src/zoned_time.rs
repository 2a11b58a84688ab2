//! Times with a zone: a time of day and the displacement that it is told in.
//!
//! PostgreSQL compares them by what a clock in Greenwich shows then, and equal ones by their zone. A value is one integer that sorts so:
//!
//!     12:30:00+02    10:30:00 in Greenwich, 7200 s east     microseconds << 20 │ seconds west + 524288
//!
//! Like an enum, it is a timestamp in Arrow whose "time zone" is what no zone is called like, so plans need to know nothing of it.
//! In segments it is the plain integer.

use arrow::datatypes::{DataType, TimeUnit};

/// The "time zone" of an Arrow timestamp that is a time with a zone.
pub const TAG: &str = "timetz";

const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;
/// The bits of the displacement.
const ZONE_BITS: u32 = 20;
/// What makes every displacement positive.
const ZONE_BIAS: i64 = 1 << (ZONE_BITS - 1);
/// The first displacement, east or west, that a value does not hold: more than six days.
const DISPLACEMENT_END_SECONDS: i64 = ZONE_BIAS;
/// The first displacement, east or west, that no zone has: 16 hours. Intervals may be longer displacements.
pub const ZONE_END_SECONDS: i32 = 16 * 3600;

/// A time of day with a displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZonedTime {
    /// Since midnight in its zone, up to 24:00.
    pub micros: i64,
    /// Seconds east of Greenwich.
    pub east: i32,
}

impl ZonedTime {
    /// The value's integer.
    pub fn packed(self) -> i64 {
        let greenwich = self.micros - i64::from(self.east) * SECOND_MICROS;
        greenwich << ZONE_BITS | (ZONE_BIAS - i64::from(self.east))
    }

    pub fn unpacked(packed: i64) -> Self {
        let east = (ZONE_BIAS - (packed & ((1 << ZONE_BITS) - 1))) as i32;
        Self { micros: (packed >> ZONE_BITS) + i64::from(east) * SECOND_MICROS, east }
    }

    /// The same moment of a day, so many seconds east of Greenwich; `None` for a displacement that no value holds.
    pub fn at(self, east: i64) -> Option<Self> {
        let fits = -DISPLACEMENT_END_SECONDS < east && east < DISPLACEMENT_END_SECONDS;
        let moved = || self.micros + (east - i64::from(self.east)) * SECOND_MICROS;
        fits.then(|| Self { micros: moved().rem_euclid(DAY_MICROS), east: east as i32 })
    }
}

/// How far the integers of two values in one zone are apart, between which so much time passes.
pub fn distance(micros: i64) -> i64 {
    micros.saturating_mul(1 << ZONE_BITS)
}

pub fn data_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(TAG.into()))
}

/// Whether an Arrow type is that of times with a zone.
pub fn is_zoned_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, Some(tag)) if **tag == *TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sort_by_greenwich_and_then_from_east_to_west() {
        let hour = 3600 * SECOND_MICROS;
        let at = |hours: i64, east: i32| ZonedTime { micros: hours * hour, east: east * 3600 };
        let sorted = [at(0, 15), at(12, 12), at(13, 1), at(12, 0), at(11, -1), at(13, 0), at(24, 0), at(24, -15)];
        assert!(sorted.windows(2).all(|pair| pair[0].packed() < pair[1].packed()));
        for value in sorted {
            assert_eq!(ZonedTime::unpacked(value.packed()), value);
        }
        let far = at(12, 0).at(20 * 3600).unwrap();
        assert_eq!((far.micros / hour, far.east), (8, 20 * 3600));
        assert_eq!(ZonedTime::unpacked(far.packed()), far);
        assert_eq!(at(12, 0).at(DISPLACEMENT_END_SECONDS), None);
        let odd = ZonedTime { micros: 1, east: -(ZONE_END_SECONDS - 1) };
        assert_eq!(ZonedTime::unpacked(odd.packed()), odd);
    }
}
