//! A shared list is held against a plain one, and its versions against what they were.

use super::{CHUNK_ITEMS_MAX, SharedList};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    Pop,
    Set(usize, u32),
    Remove(usize),
    Retain(u32),
    DropFront(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => any::<u32>().prop_map(Step::Push),
        2 => Just(Step::Pop),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(at, item)| Step::Set(at, item)),
        2 => any::<usize>().prop_map(Step::Remove),
        1 => (2u32..5).prop_map(Step::Retain),
        1 => (0u32..40).prop_map(Step::DropFront),
    ];
    prop::collection::vec(step, 0..400)
}

fn take(step: &Step, list: &mut SharedList<u32>, plain: &mut Vec<u32>) {
    let place = |at: usize| (!plain.is_empty()).then(|| at % plain.len());
    match step {
        Step::Push(item) => {
            list.push(*item);
            plain.push(*item);
        }
        Step::Pop => assert_eq!(list.pop(), plain.pop()),
        Step::Set(at, item) => {
            if let Some(place) = place(*at) {
                list.set(place, *item);
                plain[place] = *item;
            }
        }
        Step::Remove(at) => {
            if let Some(place) = place(*at) {
                assert_eq!(list.remove(place), plain.remove(place));
            }
        }
        Step::Retain(divisor) => {
            list.retain(|item| item % divisor != 0);
            plain.retain(|item| item % divisor != 0);
        }
        Step::DropFront(count) => {
            let kept: Vec<u32> = plain.iter().skip(*count as usize).copied().collect();
            *list = kept.iter().copied().collect();
            *plain = kept;
        }
    }
}

proptest! {
    #[test]
    fn a_shared_list_is_a_list_and_keeps_its_earlier_versions(steps in steps()) {
        let (mut list, mut plain) = (SharedList::default(), Vec::new());
        let mut versions = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            take(step, &mut list, &mut plain);
            prop_assert_eq!(list.iter().copied().collect::<Vec<_>>(), plain.clone());
            prop_assert_eq!((list.len(), list.first(), list.last()), (plain.len(), plain.first(), plain.last()));
            prop_assert!((0..plain.len() + 2).all(|index| list.get(index) == plain.get(index)));
            prop_assert!(list.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_ITEMS_MAX));
            if number % 7 == 0 {
                versions.push((list.clone(), plain.clone()));
            }
        }
        for (version, was) in versions {
            prop_assert_eq!(version.iter().copied().collect::<Vec<_>>(), was);
        }
    }

    #[test]
    fn the_rest_of_an_ordered_list_begins_where_it_is_cut(length in 0u32..200, removed in 0u32..200, cut in 0u32..220) {
        let mut list: SharedList<u32> = (0..length).collect();
        list.retain(|item| item % 13 != removed % 13);
        let rest = list.rest(|item| *item < cut);
        let expected: Vec<u32> = list.iter().copied().filter(|item| *item >= cut).collect();
        prop_assert_eq!(rest.len(), expected.len());
        prop_assert_eq!(rest.start(), list.len() - expected.len());
        prop_assert_eq!(rest.iter().copied().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_item_that_is_added_copies_no_more_than_a_chunk() {
    let mut list: SharedList<u32> = (0..10_000).collect();
    for item in 10_000..10_100 {
        let before = list.clone();
        list.push(item);
        let shared = before.chunks.iter().zip(list.chunks.iter());
        assert!(shared.clone().count() >= 10_000 / CHUNK_ITEMS_MAX - 1);
        assert!(shared.into_iter().all(|(old, new)| std::sync::Arc::ptr_eq(old, new)));
        assert!(!before.is_same(&list) && before.len() + 1 == list.len());
    }
}

#[test]
fn a_chunk_that_goes_leaves_its_neighbour_shared() {
    let before: SharedList<u32> = (0..10_000).collect();
    let mut after = before.clone();
    let gone = CHUNK_ITEMS_MAX as u32..3 * CHUNK_ITEMS_MAX as u32;
    after.retain(|item| !gone.contains(item));
    assert!(std::sync::Arc::ptr_eq(&before.chunks[0], &after.chunks[0]));
    assert!(std::sync::Arc::ptr_eq(&before.chunks[3], &after.chunks[1]));
}
