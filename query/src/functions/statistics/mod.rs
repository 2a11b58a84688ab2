//! Variance, standard deviation, covariance, correlation and linear regression.
//!
//! What PostgreSQL computes from the number, the sum and the sum of squares of the values is computed from those three
//! here too, and all of them are exact, so no answer depends on the order of rows or on how they were divided:
//!
//!     functions      names, types and results                    accumulators   one group, many groups, window frames
//!     numerics       integers and numerics in 256 bits           floats         doubles, alone and in pairs
//!     totals, bits   what states of views keep of other aggregates             signed   how they keep it
//!     value_counts   the different values of a group, which states keep too

mod accumulators;
mod bits;
mod floats;
mod functions;
mod numerics;
mod signed;
mod totals;
mod value_counts;

pub(super) use functions::statistics;
pub(crate) use signed::signed_sums;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use std::fmt::Debug;

/// Sums over the values of a group, from which a statistic is computed.
trait Sums: Clone + Debug + Default + Send + Sync + 'static {
    /// What one row adds.
    type Row: Copy;
    /// Which statistic it is, with what that needs to know.
    type Statistic: Clone + Debug + Send + Sync;

    /// Calls `each` with every row in which no argument is NULL.
    fn rows(arguments: &[ArrayRef], each: impl FnMut(usize, Self::Row) -> Result<()>) -> Result<()>;
    fn add(&mut self, row: Self::Row, statistic: &Self::Statistic) -> Result<()>;
    /// Takes out a row that was added.
    fn subtract(&mut self, row: Self::Row, statistic: &Self::Statistic) -> Result<()>;
    fn merge(&mut self, other: &Self) -> Result<()>;
    fn to_bytes(&self) -> Vec<u8>;
    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
    fn heap_bytes(&self) -> usize;
    fn result(&self, statistic: &Self::Statistic) -> Result<ScalarValue>;
}
