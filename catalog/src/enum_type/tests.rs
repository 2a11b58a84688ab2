//! Enums as types of arrays, and what becomes of their labels.

use super::*;
use arrow::array::Array;

fn mood() -> EnumType {
    let names = ["sad", "ok", "happy"].into_iter().zip(16386..);
    EnumType::new(EnumParts {
        id: ObjectId(16384),
        array: ObjectId(16385),
        name: ObjectName::new("public", "mood"),
        labels: EnumType::declared(names.map(|(name, id)| (ObjectId(id), name.to_string()))),
    })
}

fn values(of: &EnumType, names: &[&str]) -> ArrayRef {
    let positions = names.iter().map(|name| of.label_named(name).map(|label| label.position));
    Arc::new(positions.collect::<TimestampMicrosecondArray>().with_timezone(Arc::clone(of.tag())))
}

fn names(of: &EnumType) -> Vec<&str> {
    of.parts().labels.iter().map(|label| label.name.as_str()).collect()
}

#[test]
fn an_arrow_type_says_all_of_its_enum() {
    let known = EnumType::of_data_type(&mood().data_type());
    assert_eq!(known.as_ref(), Some(&mood()));
    assert_eq!(known.map(|known| known.parts().clone()), Some(mood().parts().clone()));
    assert_eq!(EnumType::of_data_type(&DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))), None);
}

#[test]
fn a_label_comes_between_others_and_moves_none() {
    let before = mood();
    let after =
        EnumType::new(before.with_label(ObjectId(16400), "meh", &LabelPlace::Before("ok")).expect("there is room"));
    assert_eq!(names(&after), ["sad", "meh", "ok", "happy"]);
    for name in names(&before) {
        assert_eq!(before.label_named(name), after.label_named(name));
    }
    let order = |name: &str| after.label_named(name).map(EnumLabel::sort_order);
    assert_eq!((order("sad"), order("meh"), order("ok")), (Some(1.0), Some(1.5), Some(2.0)));
    let first = after.with_label(ObjectId(16401), "awful", &LabelPlace::Before("sad")).map(EnumType::new);
    assert_eq!(first.as_ref().map(names), Ok(vec!["awful", "sad", "meh", "ok", "happy"]));
    assert_eq!(before.with_label(ObjectId(1), "x", &LabelPlace::After("none")), Err(LabelRefused::NoNeighbour));
}

#[test]
fn labels_that_halve_the_same_room_end_with_an_error() {
    let mut known = mood();
    for number in 0..100 {
        match known.with_label(ObjectId(20000 + number), &format!("x{number}"), &LabelPlace::After("sad")) {
            Ok(parts) => known = EnumType::new(parts),
            Err(refused) => {
                assert_eq!((refused, number), (LabelRefused::NoRoom, 40));
                return;
            }
        }
    }
    panic!("a room between two numbers has an end");
}

#[test]
fn segments_keep_the_text_under_which_a_label_was_first_known() {
    let before = mood();
    let stored = stored_array(&values(&before, &["ok", "sad", "none"]));
    assert_eq!(stored.as_string_view().iter().collect::<Vec<_>>(), [Some("ok"), Some("sad"), None]);
    let renamed = EnumType::new(before.with_renamed_label("ok", "fine").expect("it is a label"));
    let read = array_of_stored(&stored, &renamed.data_type());
    assert_eq!(*read, *values(&renamed, &["fine", "sad", "none"]));
    // A new label of the old name is another one.
    let again = EnumType::new(renamed.with_label(ObjectId(17000), "ok", &LabelPlace::Last).expect("there is room"));
    let both = values(&again, &["ok", "fine"]);
    let stored = stored_array(&both);
    assert_eq!(stored.as_string_view().iter().collect::<Vec<_>>(), [Some("ok~0"), Some("ok")]);
    assert_eq!(*array_of_stored(&stored, &again.data_type()), *both);
    let back = EnumType::new(renamed.with_renamed_label("fine", "ok").expect("it is a label"));
    assert_eq!(back, before);
}

#[test]
fn values_of_an_earlier_state_are_those_of_the_later_one() {
    let before = mood();
    let after = EnumType::new(before.with_label(ObjectId(16400), "meh", &LabelPlace::Last).expect("there is room"));
    let items = values(&before, &["happy", "sad"]);
    let field = Arc::new(Field::new("item", before.data_type(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([2]);
    let list: ArrayRef = Arc::new(ListArray::new(field, offsets, Arc::clone(&items), None));
    let wanted = DataType::List(Arc::new(Field::new("item", after.data_type(), true)));
    assert_eq!(*retagged(&items, &after.data_type()), *values(&after, &["happy", "sad"]));
    assert_eq!(*retagged(&list, &wanted).data_type(), wanted);
    assert_eq!(*array_of_stored(&stored_array(&list), list.data_type()), *list);
    assert_eq!(stored_type(list.data_type()), Some(stored_array(&list).data_type().clone()));
}
