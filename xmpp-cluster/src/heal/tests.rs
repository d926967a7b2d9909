use proptest::prelude::*;

use super::*;

fn at(time: i64, node: &str) -> Stamp {
    Stamp {
        time: Timestamp(time),
        count: 0,
        node: node.parse().unwrap(),
    }
}

fn register<T>(time: i64, node: &str, value: T) -> Register<T> {
    let at = at(time, node);
    Register { at, value }
}

fn merged<T: Merge + Clone>(first: &T, second: &T) -> T {
    let mut both = first.clone();
    both.merge(second);
    both
}

/// What is denied, and to what: a removal, or a ban.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Denied {
    #[default]
    Removed,
    Banned,
}

type Record = Guarded<Register<Affiliation>, Denied>;

/// What one side does to an affiliation, after both have seen the same.
#[derive(Clone, Copy, Debug)]
enum Do {
    Nothing,
    Grant(Affiliation),
    Remove,
    Ban,
}

fn apply(record: &mut Record, what: Do, time: i64, node: &str) {
    match what {
        Do::Nothing => {}
        Do::Grant(affiliation) => record.grant(register(time, node, affiliation)),
        Do::Remove => record.deny(at(time, node), Denied::Removed),
        Do::Ban => record.deny(at(time, node), Denied::Banned),
    }
}

fn affiliation(record: &Record) -> Affiliation {
    match (record.value(), record.denied()) {
        (Some(value), _) => value.value,
        (None, Some(Denied::Banned)) => Affiliation::Outcast,
        (None, _) => Affiliation::None,
    }
}

/// The table: what one side does, what the other does *later*, and what both have after the heal.
const AFFILIATIONS: [(&[Do], &[Do], Affiliation); 12] = {
    use Affiliation::*;
    use Do::{Ban, Grant, Nothing, Remove};
    [
        (&[Nothing], &[Nothing], Member),
        (&[Grant(Admin)], &[Nothing], Admin),
        (&[Grant(Admin)], &[Grant(Owner)], Owner),
        (&[Grant(Owner)], &[Grant(Admin)], Admin),
        (&[Ban], &[Grant(Admin)], Outcast),
        (&[Grant(Admin)], &[Ban], Outcast),
        (&[Remove], &[Grant(Admin)], None),
        (&[Ban], &[Remove], Outcast),
        (&[Remove], &[Ban], Outcast),
        // Who lifts a ban knows of it; who writes beside it does not.
        (&[Ban, Grant(Member)], &[Nothing], Member),
        (&[Ban, Grant(Admin)], &[Grant(Owner)], Admin),
        (&[Ban, Grant(Member)], &[Remove, Grant(Member)], None),
    ]
};

/// Runs the table with a way to merge; the first row that is wrong.
fn wrong(merge: impl Fn(&Record, &Record) -> Record) -> Option<usize> {
    AFFILIATIONS.iter().position(|(here, there, expected)| {
        let mut before = Record::default();
        before.grant(register(1, "a", Affiliation::Member));
        let (mut first, mut second) = (before.clone(), before);
        for (time, what) in (10..).zip(*here) {
            apply(&mut first, *what, time, "a");
        }
        for (time, what) in (20..).zip(*there) {
            apply(&mut second, *what, time, "b");
        }
        let both = [merge(&first, &second), merge(&second, &first)];
        both.iter().any(|record| affiliation(record) != *expected)
    })
}

#[test]
fn affiliations_after_a_heal() {
    assert_eq!(wrong(merged), None);
}

#[test]
fn a_last_writer_who_wins_over_a_ban_is_found_out() {
    let last_writer = |first: &Record, second: &Record| {
        let time = |record: &Record| {
            let denials = record.denials.values().map(|denial| denial.at.clone());
            denials
                .chain(record.value.iter().map(|v| v.at.clone()))
                .max()
        };
        let later = if time(first) >= time(second) {
            first
        } else {
            second
        };
        later.clone()
    };
    assert_eq!(wrong(last_writer), Some(4));
}

#[test]
fn a_tombstone_that_is_forgotten_too_early_is_found_out() {
    let forgetful = |first: &Record, second: &Record| {
        let (mut first, mut second) = (first.clone(), second.clone());
        first.forget(Timestamp(100));
        second.forget(Timestamp(100));
        merged(&first, &second)
    };
    assert_eq!(wrong(forgetful), Some(4));
}

#[test]
fn a_block_wins_over_an_unblocking_beside_it_and_yields_to_one_behind_it() {
    let mut here: Guarded<Register<()>> = Guarded::default();
    here.deny(at(1, "a"), ());
    let mut there = here.clone();
    here.deny(at(2, "a"), ());
    there.grant(register(3, "b", ()));
    let mut both = merged(&here, &there);
    assert_eq!(both.denied(), Some(()));
    both.grant(register(4, "b", ()));
    assert_eq!(merged(&here, &both).denied(), None);
    // An address that nobody has ever blocked.
    assert_eq!(Guarded::<Register<()>>::default().denied(), None);
}

fn item() -> RosterItem {
    RosterItem {
        name: register(1, "a", None),
        groups: register(1, "a", Default::default()),
        to: Guarded::default(),
        from: Guarded::default(),
        requests: register(1, "a", Requests::default()),
    }
}

#[test]
fn both_sides_fields_of_a_roster_item_stay_and_a_removal_wins_over_edits_beside_it() {
    let mut whole: Guarded<RosterItem> = Guarded::default();
    whole.grant(item());
    let (mut named, mut grouped, mut removed) = (whole.clone(), whole.clone(), whole);
    named.grant(RosterItem {
        name: register(5, "a", Some("Juliet".into())),
        ..item()
    });
    grouped.grant(RosterItem {
        groups: register(6, "b", ["Friends".to_owned()].into()),
        ..item()
    });
    let both = merged(&named, &grouped);
    let value = both.value().unwrap();
    assert_eq!(value.name.value.as_deref(), Some("Juliet"));
    assert_eq!(value.groups.value.len(), 1);
    removed.deny(at(2, "c"), ());
    let mut gone = merged(&both, &removed);
    assert_eq!((gone.value(), gone.denied()), (None, Some(())));
    // Who adds the contact anew knows that it was removed.
    gone.grant(item());
    assert_eq!(merged(&gone, &both).value(), Some(&item()));
}

#[test]
fn an_account_that_is_deleted_stays_so_though_its_password_was_changed_beside_that() {
    let mut account: Guarded<Fields> = Guarded::default();
    let mut fields = Fields::default();
    assert!(fields.write("scram", register(1, "a", Some("old".into()))));
    account.grant(fields.clone());
    let mut deleted = account.clone();
    deleted.deny(at(2, "a"), ());
    assert!(fields.write("scram", register(3, "b", Some("new".into()))));
    account.grant(fields);
    assert_eq!(account.value().unwrap().value("scram"), Some("new"));
    assert_eq!(merged(&account, &deleted).value(), None);
}

#[test]
fn claims_have_one_winner_whoever_asks() {
    let (a, b): (NodeId, NodeId) = ("a".parse().unwrap(), "b".parse().unwrap());
    let (early, late) = (Timestamp(1), Timestamp(2));
    assert_eq!(login((late, 0, &a), (early, 9, &b)), Side::First);
    assert_eq!(login((early, 9, &b), (late, 0, &a)), Side::Second);
    assert_eq!(login((early, 0, &a), (early, 0, &b)), Side::Second);
    assert_eq!(session((4, &a), (3, &b)), Side::First);
    assert_eq!(session((4, &a), (4, &b)), Side::Second);
    let (older, newer) = (at(1, "b"), at(2, "a"));
    let nick_of = |x, y| nick((x, &older), (y, &newer));
    assert_eq!(nick_of(Affiliation::None, Affiliation::None), Side::First);
    assert_eq!(nick_of(Affiliation::None, Affiliation::Admin), Side::Second);
    assert_eq!(room(&newer, &older), Side::Second);
}

#[test]
fn a_record_remembers_the_removals_of_so_many_nodes() {
    let mut record = Record::default();
    for n in 0..(DENIERS as i64 + 10) {
        record.deny(at(n, &format!("n{n}")), Denied::Removed);
    }
    assert_eq!(record.denials.len(), DENIERS);
    assert!(
        !record
            .denials
            .contains_key(&"n9".parse::<NodeId>().unwrap())
    );
    assert!(record.forget(Timestamp(i64::MAX)));
}

/// Three sides of a record: what each does, and of whom each hears meanwhile. Stamps are as a clock gives them.
fn sides(steps: &[(usize, usize, usize)]) -> [Record; 3] {
    let mut sides: [Record; 3] = Default::default();
    for (time, (side, what, hears)) in (1..).zip(steps) {
        let other = sides[*hears].clone();
        if what % 2 == 0 {
            sides[*side].merge(&other);
        }
        let what = match what / 2 {
            0 => Do::Nothing,
            1 => Do::Grant(Affiliation::Member),
            2 => Do::Grant(Affiliation::Owner),
            3 => Do::Remove,
            _ => Do::Ban,
        };
        apply(&mut sides[*side], what, time, ["a", "b", "c"][*side]);
    }
    sides
}

/// Whether a way to merge depends on the order or on repetition.
fn lawful<T: PartialEq>(sides: &[T; 3], merge: impl Fn(&T, &T) -> T) -> bool {
    let [a, b, c] = sides;
    let ab = merge(a, b);
    ab == merge(b, a)
        && merge(&ab, c) == merge(a, &merge(b, c))
        && merge(a, a) == *a
        && merge(&ab, b) == ab
}

fn steps() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    proptest::collection::vec((0..3usize, 0..10usize, 0..3usize), 0..24)
}

proptest! {
    #[test]
    fn a_guarded_record_may_be_merged_in_any_order(steps in steps()) {
        prop_assert!(lawful(&sides(&steps), merged));
    }

    #[test]
    fn fields_may_be_merged_in_any_order(writes in proptest::collection::vec((0..3usize, 0..4u8, 0..9u8), 0..24)) {
        let mut sides: [Fields; 3] = Default::default();
        for (time, (side, name, value)) in (1..).zip(&writes) {
            let value = register(time, ["a", "b", "c"][*side], Some(value.to_string()));
            sides[*side].write(&name.to_string(), value);
        }
        prop_assert!(lawful(&sides, merged));
    }
}

/// Pair by pair, without memory of what was denied: it depends on who meets whom first.
#[test]
fn a_rule_for_pairs_alone_is_found_out() {
    let pairwise = |first: &Record, second: &Record| {
        let denied = [first, second]
            .into_iter()
            .find(|side| side.denied().is_some());
        match denied {
            Some(denied) => denied.clone(),
            None => merged(first, second),
        }
    };
    let steps = [(0, 8, 0), (1, 7, 1), (2, 3, 2)];
    assert!(lawful(&sides(&steps), merged));
    assert!(!lawful(&sides(&steps), pairwise));
}
