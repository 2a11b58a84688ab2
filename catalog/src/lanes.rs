//! Lanes: the same work for each of some items, on several threads at once.
//!
//! For what a writer waits for and what would keep one core busy for milliseconds, such as packing the columns of many rows. To start a
//! thread costs some ten microseconds, so whoever has less to do does it alone.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The most threads that work at once, the caller's among them.
const LANES_MAX: usize = 4;

/// What the work makes of each item, in the order of the items. Each lane takes the next item when it is done with one.
pub fn in_lanes<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    let lanes = thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX).min(items.len());
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return done };
            done.push((place, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..lanes).map(|_| scope.spawn(lane)).collect();
        let mut done = lane();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_items() {
        let items: Vec<u64> = (0..1000).collect();
        let doubled: Vec<u64> = items.iter().map(|item| item * 2).collect();
        assert_eq!(in_lanes(&items, |item| item * 2), doubled);
        assert!(in_lanes(&[] as &[u64], |item| item * 2).is_empty());
    }
}
