//! Views: how a materialized view follows its inputs without ever differing from its query.
//!
//! A view is its *bound definition*; what is derived from that here, at every start, is a [`ViewProgram`]:
//!
//! ```text
//!     definition ──normalise──▶ plan ──split──▶ core: an aggregate over scans, filters, projections, joins, UNION ALL
//!                                         └───▶ residual: HAVING, ORDER BY, LIMIT, windows and expressions over aggregates
//!
//!     state(frontier) ── runs of signed partial aggregates, in a hidden table
//!     read(V, S) = residual(finish(merge(state(frontier) ∪ partials(delta(frontier, S]))))
//! ```
//!
//! Everything here makes DataFusion plans from DataFusion plans, so a view is computed by the engine that computes its
//! query, with the same expressions. This crate opens no file, holds no snapshot and does not know what a segment is: the rows
//! come in as table sources that the query room binds.

mod arguments;
pub mod core;
pub mod deltas;
mod grouping;
mod input_conditions;
mod normal_form;
mod partners;
pub mod program;

pub use crate::arguments::{SignedSums, SignedSumsOf};
pub use crate::core::{Advance, Fold, StateColumn};
pub use crate::deltas::{Change, Input, Inputs, LateRows, SignedRows};
pub use crate::input_conditions::InputConditions;
pub use crate::program::{Bound, Class, ViewProgram, bind};
