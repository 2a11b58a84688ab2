//! Holds and rewrites of one table, step by step: what waits is polled and not slept for.

use super::*;
use std::task::Poll;

const TABLE: ObjectId = ObjectId(16384);

impl WriteHolds {
    /// Makes what a table's holders and rewrites did last look as if it had been before `before`.
    fn age(&self, before: Instant) {
        let mut tables = self.0.tables.lock();
        let holds = tables.entry(TABLE).or_default();
        holds.stirred = Some(before);
        holds.awaited = holds.awaited.map(|since| since.min(before));
    }

    async fn newcomer(&self) -> WriteHold {
        self.hold(TABLE, false).await
    }
}

fn long_ago() -> Instant {
    Instant::now().checked_sub(2 * REST_AWAITED_MAX).expect("the machine has run for longer")
}

#[tokio::test]
async fn a_rewrite_waits_until_holders_have_rested() {
    let holds = WriteHolds::default();
    let begun = Instant::now();
    let mark = holds.begin_rewrite(TABLE, Some(begun)).expect("nobody has held the table");
    assert!(!holds.held_since(TABLE, mark));

    let hold = holds.newcomer().await;
    assert!(holds.held_since(TABLE, mark));
    assert!(holds.may_commit(TABLE, mark).is_none());
    drop(hold);
    let left = Instant::now();
    assert_eq!(holds.begin_rewrite(TABLE, Some(left)), None);
    assert!(holds.begin_rewrite(TABLE, None).is_some());
    assert!(holds.begin_rewrite(TABLE, Some(left + REST)).is_some());
}

#[tokio::test]
async fn a_rewrite_is_told_what_holders_may_name() {
    let holds = WriteHolds::default();
    let held = |holds: &WriteHolds| holds.begin_rewrite(TABLE, None).expect("nobody is waited for").held;
    assert_eq!(held(&holds), None);
    let hold = holds.newcomer().await;
    assert_eq!(held(&holds), Some(ANYTHING), "it has not looked yet");
    hold.looks_at(CommitSeq(7));
    assert_eq!(held(&holds), Some(CommitSeq(7)));
    let older = holds.newcomer().await;
    older.looks_at(CommitSeq(5));
    assert_eq!(holds.named(TABLE), Some(CommitSeq(7)));
    let mark = holds.begin_rewrite(TABLE, None).expect("nobody is waited for");
    assert!(holds.may_commit(TABLE, mark).is_some(), "holders do not hinder a rewrite that leaves their rows alone");
    drop(hold);
    assert_eq!(held(&holds), Some(CommitSeq(5)));
}

#[tokio::test]
async fn rewrites_insist_after_they_have_waited_for_long() {
    let holds = WriteHolds::default();
    drop(holds.newcomer().await);
    let first = Instant::now();
    assert_eq!(holds.begin_rewrite(TABLE, Some(first)), None, "somebody has just left");
    assert!(!holds.may_insist(TABLE, first + REST));
    let late = first + REST_AWAITED_MAX;
    assert!(holds.may_insist(TABLE, late));
    assert!(!holds.may_insist(TABLE, late), "waiting begins anew");

    let commit = holds.insist(TABLE).await.expect("nobody else insists");
    let mut deleter = Box::pin(holds.newcomer());
    assert!(futures::poll!(&mut deleter).is_pending());
    drop(commit);
    assert!(futures::poll!(&mut deleter).is_ready());
}

#[tokio::test]
async fn holders_that_overlap_for_ever_let_a_rewrite_in() {
    let holds = WriteHolds::default();
    let mut present = vec![holds.newcomer().await, holds.newcomer().await];
    let mut rewrite = Box::pin(holds.insist(TABLE));
    assert!(futures::poll!(&mut rewrite).is_pending(), "holders are waited for");

    let mut waiting = Box::pin(holds.newcomer());
    assert!(futures::poll!(&mut waiting).is_pending(), "the next holder comes after the rewrite");
    present.pop();
    assert!(futures::poll!(&mut rewrite).is_pending());
    present.pop();
    let Poll::Ready(Some(right)) = futures::poll!(&mut rewrite) else { panic!("nobody holds the table any more") };
    assert_eq!(right.held, None);
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(right);
    assert!(futures::poll!(&mut waiting).is_ready());
}

#[tokio::test]
async fn a_transaction_that_holds_the_table_is_not_kept_out_while_it_is_awaited() {
    let holds = WriteHolds::default();
    let first = holds.newcomer().await;
    let mut rewrite = Box::pin(holds.insist(TABLE));
    assert!(futures::poll!(&mut rewrite).is_pending());
    let mut again = Box::pin(holds.hold(TABLE, true));
    let Poll::Ready(second) = futures::poll!(&mut again) else { panic!("it would wait for itself") };
    drop(first);
    assert!(futures::poll!(&mut rewrite).is_pending());
    drop(second);
    assert!(futures::poll!(&mut rewrite).is_ready());
}

#[tokio::test]
async fn a_holder_that_stays_is_not_waited_for_and_keeps_its_rows() {
    let holds = WriteHolds::default();
    let idle = holds.newcomer().await;
    idle.looks_at(CommitSeq(3));
    holds.0.tables.lock().entry(TABLE).or_default().holders.values_mut().for_each(|holder| holder.since = long_ago());
    let right = holds.insist(TABLE).await.expect("nobody else insists");
    assert_eq!(right.held, Some(CommitSeq(3)));
    assert!(futures::poll!(Box::pin(holds.hold(TABLE, true))).is_pending(), "its next statement waits for the rewrite");
}

#[tokio::test]
async fn a_rewrite_that_no_longer_waits_lets_others_in() {
    let holds = WriteHolds::default();
    let hold = holds.newcomer().await;
    let mut rewrite = Box::pin(holds.insist(TABLE));
    assert!(futures::poll!(&mut rewrite).is_pending());
    drop(rewrite);
    assert!(futures::poll!(Box::pin(holds.newcomer())).is_ready());
    drop(hold);
}

#[tokio::test]
async fn rewrites_that_nobody_lets_rest_wait() {
    let holds = WriteHolds::default();
    let hold = holds.newcomer().await;
    let now = Instant::now();
    assert_eq!(holds.begin_rewrite(TABLE, Some(now)), None);
    holds.age(long_ago());
    assert!(holds.begin_rewrite(TABLE, Some(now)).is_some(), "what came behind the holder's snapshot may be rewritten");
    assert!(holds.may_insist(TABLE, now), "what it names is still waited for");
    drop(hold);
    holds.age(long_ago());
    assert!(holds.begin_rewrite(TABLE, Some(now)).is_some());
    assert!(!holds.may_insist(TABLE, now + REST_AWAITED_MAX), "nothing waits any more");
}
