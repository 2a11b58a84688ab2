//! The checker finds what is planted, at the levels that forbid it and not below.

use super::*;

/// What is found at no level.
const NOTHING: [Vec<String>; 3] = [const { Vec::new() }; 3];
const LEVELS: [Level; 3] = [Level::ReadCommitted, Level::RepeatableRead, Level::Serializable];

fn append(key: i64, value: i64) -> Step {
    Step::Append { key, value }
}

fn read(key: i64, values: &[i64]) -> Step {
    Step::ReadList { key, values: Some(values.to_vec()) }
}

fn write(key: i64, value: i64) -> Step {
    Step::Write { key, value }
}

fn get(key: i64, value: Option<i64>) -> Step {
    Step::ReadRegister { key, value }
}

/// Transactions that all run at once, and readers behind them, one after the other.
fn history(at_once: &[(&[Step], Outcome)], behind: &[&[Step]]) -> Journal {
    let journal = Journal::default();
    for (process, (steps, _)) in at_once.iter().enumerate() {
        journal.begin(process as i64, steps);
    }
    for (process, (steps, outcome)) in at_once.iter().enumerate() {
        journal.end(process as i64, steps, *outcome);
    }
    for steps in behind {
        journal.begin(100, steps);
        journal.end(100, steps, Outcome::Committed);
    }
    journal
}

/// What is found at each level.
fn found(kind: Kind, journal: &Journal) -> [Vec<String>; 3] {
    LEVELS.map(|level| anomalies(kind, journal, level.model()).map_or_else(Vec::new, |found| found.types))
}

fn has(found: &[String], name: &str) -> bool {
    found.iter().any(|found| found == name)
}

#[test]
fn a_sound_history_is_sound() {
    let first = [append(1, 1), append(2, 2)];
    let second = [read(1, &[1]), append(1, 3)];
    let sound = history(
        &[(&first, Outcome::Committed), (&second, Outcome::Committed), (&[append(1, 9)], Outcome::Conflict)],
        &[&[read(1, &[1, 3]), read(2, &[2])]],
    );
    assert_eq!(found(Kind::Lists, &sound), NOTHING);
    let sound =
        history(&[(&[write(1, 1)], Outcome::Committed)], &[&[get(1, Some(1))], &[get(1, Some(1)), write(1, 2)]]);
    assert_eq!(found(Kind::Registers, &sound), NOTHING);
}

#[test]
fn what_may_have_happened_may_be_seen_or_not() {
    for seen in [&[][..], &[1][..]] {
        let unknown =
            history(&[(&[append(1, 1)], Outcome::Unknown)], &[&[read(1, seen), append(2, 5)], &[read(2, &[5])]]);
        assert_eq!(found(Kind::Lists, &unknown), NOTHING);
    }
}

#[test]
fn what_nobody_has_seen_need_not_have_happened() {
    let first = [append(1, 5)];
    let (unknown, kept) = ([read(1, &[5]), append(2, 2)], [append(1, 1), append(2, 3)]);
    let at_once = [(&first[..], Outcome::Committed), (&unknown[..], Outcome::Unknown), (&kept[..], Outcome::Committed)];
    let lost = history(&at_once, &[&[read(1, &[5, 1]), read(2, &[3])]]);
    assert_eq!(found(Kind::Lists, &lost), NOTHING);
    let seen = history(&at_once, &[&[read(1, &[5, 1]), read(2, &[3, 2])]]);
    let [_, snapshot, serializable] = found(Kind::Lists, &seen);
    assert!(!snapshot.is_empty() && !serializable.is_empty(), "{snapshot:?} {serializable:?}");
}

#[test]
fn writes_in_two_orders_are_found() {
    let (first, second) = ([append(1, 1), append(2, 1)], [append(1, 2), append(2, 2)]);
    let planted = history(
        &[(&first, Outcome::Committed), (&second, Outcome::Committed)],
        &[&[read(1, &[1, 2]), read(2, &[2, 1])]],
    );
    found(Kind::Lists, &planted).iter().for_each(|found| assert!(has(found, "G0"), "{found:?}"));
}

#[test]
fn a_read_of_what_was_refused_is_found() {
    for outcome in [Outcome::Conflict, Outcome::Lost] {
        let planted = history(&[(&[append(1, 1)], outcome)], &[&[read(1, &[1])]]);
        found(Kind::Lists, &planted).iter().for_each(|found| assert!(has(found, "G1a"), "{found:?}"));
    }
    let planted = history(&[(&[write(1, 1)], Outcome::Conflict)], &[&[get(1, Some(1))]]);
    found(Kind::Registers, &planted).iter().for_each(|found| assert!(has(found, "G1a"), "{found:?}"));
}

#[test]
fn a_read_of_half_a_transaction_is_found() {
    let whole = [append(1, 1), append(1, 2)];
    let planted =
        history(&[(&whole, Outcome::Committed), (&[read(1, &[1])], Outcome::Committed)], &[&[read(1, &[1, 2])]]);
    found(Kind::Lists, &planted).iter().for_each(|found| assert!(has(found, "G1b"), "{found:?}"));
}

#[test]
fn two_that_saw_each_other_are_found() {
    let (first, second) = ([append(1, 1), read(2, &[2])], [append(2, 2), read(1, &[1])]);
    let planted = history(&[(&first, Outcome::Committed), (&second, Outcome::Committed)], &[]);
    found(Kind::Lists, &planted).iter().for_each(|found| assert!(has(found, "G1c"), "{found:?}"));
}

#[test]
fn half_a_snapshot_is_forbidden_where_there_is_one() {
    let planted = history(
        &[(&[append(1, 1), append(2, 2)], Outcome::Committed), (&[read(1, &[1]), read(2, &[])], Outcome::Committed)],
        &[&[read(1, &[1]), read(2, &[2])]],
    );
    let [committed, snapshot, serializable] = found(Kind::Lists, &planted);
    assert_eq!(committed, Vec::<String>::new());
    assert!(has(&snapshot, "G-single-item") && has(&serializable, "G-single-item"), "{snapshot:?} {serializable:?}");
}

#[test]
fn a_lost_update_is_forbidden_where_there_is_a_snapshot() {
    let (first, second) = ([get(1, None), write(1, 1)], [get(1, None), write(1, 2)]);
    let planted = history(&[(&first, Outcome::Committed), (&second, Outcome::Committed)], &[&[get(1, Some(2))]]);
    let [_, snapshot, serializable] = found(Kind::Registers, &planted);
    assert!(!snapshot.is_empty() && !serializable.is_empty(), "{snapshot:?} {serializable:?}");
}

#[test]
fn write_skew_is_forbidden_to_serializable_alone() {
    let (first, second) = ([read(1, &[]), append(2, 2)], [read(2, &[]), append(1, 1)]);
    let planted =
        history(&[(&first, Outcome::Committed), (&second, Outcome::Committed)], &[&[read(1, &[1]), read(2, &[2])]]);
    let [committed, snapshot, serializable] = found(Kind::Lists, &planted);
    assert_eq!((committed, snapshot), (Vec::new(), Vec::new()));
    assert!(has(&serializable, "G2-item"), "{serializable:?}");
}

#[test]
fn a_commit_that_is_forgotten_after_it_was_acknowledged_is_found() {
    let planted = history(&[(&[append(1, 1)], Outcome::Committed)], &[&[append(1, 2)], &[read(1, &[2])]]);
    let [_, snapshot, serializable] = found(Kind::Lists, &planted);
    assert!(!snapshot.is_empty() && !serializable.is_empty(), "{snapshot:?} {serializable:?}");
    let stale = history(&[(&[append(1, 1)], Outcome::Committed)], &[&[read(1, &[])], &[read(1, &[1])]]);
    let [_, snapshot, serializable] = found(Kind::Lists, &stale);
    assert!(!snapshot.is_empty() && !serializable.is_empty(), "{snapshot:?} {serializable:?}");
}
