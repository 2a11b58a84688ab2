//! Enums: a type whose values are labels in a declared order.
//!
//! In memory a value is the *position* of its label, so that comparing, sorting, grouping and joining need to know nothing of labels.
//! Arrow has no type of that meaning: a column of an enum is a column of timestamps whose "time zone" is the type's *tag*, which no
//! zone is called like: `enum ` and the type's parts, as JSON in hexadecimal digits. So a value is known for what it is wherever it
//! goes, and it can be printed without a catalog at hand.
//!
//!     mood: sad, ok, happy        Timestamp(µs, "enum 7b22…"):  1 << 40, 2 << 40, 3 << 40
//!     ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok'                    3 << 39
//!
//! The positions of labels never change, so rows stay as they are when labels come. In segments a value is the text by which its
//! label is *stored*, which stays what it was when the label is renamed.

use crate::definition::ObjectName;
use crate::ids::ObjectId;
use crate::type_names::shown_name;
use crate::zoned_time::{self, is_zoned_time};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit, TimestampMicrosecondType};
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// What a tag begins with.
const PREFIX: &str = "enum ";
/// The distance of labels that are declared one after the other; so many halvings fit between two.
const STEP: i64 = 1 << 40;
/// The most labels of a type, all of which stand in the schema of each batch of its values.
pub const LABELS_MAX: usize = 4096;
/// The most types that are kept as read.
const KNOWN_MAX: usize = 1024;

/// A label of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumLabel {
    /// The OID of its row in `pg_enum`.
    pub id: ObjectId,
    pub name: String,
    /// Labels compare by it.
    pub position: i64,
    /// The text of its values in segments, where it is not the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
}

impl EnumLabel {
    fn stored(&self) -> &str {
        self.stored.as_deref().unwrap_or(&self.name)
    }

    /// `pg_enum.enumsortorder`: 1 for the first label that was declared.
    pub fn sort_order(&self) -> f32 {
        (self.position as f64 / STEP as f64) as f32
    }
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumParts {
    pub id: ObjectId,
    /// The OID of the type of arrays of it.
    pub array: ObjectId,
    pub name: ObjectName,
    /// In their order.
    pub labels: Vec<EnumLabel>,
}

/// An enum. Two are equal if they have the same parts; clones share them.
#[derive(Clone)]
pub struct EnumType {
    parts: Arc<EnumParts>,
    tag: Arc<str>,
}

/// Types by their tags, so that a tag is read once.
static KNOWN: LazyLock<Mutex<HashMap<Arc<str>, EnumType>>> = LazyLock::new(Mutex::default);

/// Where a new label stands among those of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelPlace<'a> {
    Last,
    Before(&'a str),
    After(&'a str),
}

/// Why a label cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelRefused {
    /// The neighbour is no label of the type.
    NoNeighbour,
    /// There are too many labels, in all or between these two.
    NoRoom,
}

impl EnumType {
    pub fn new(parts: EnumParts) -> Self {
        let document = serde_json::to_vec(&parts).expect("names and numbers are written as JSON");
        let digits: String = document.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { parts: Arc::new(parts), tag: format!("{PREFIX}{digits}").into() }
    }

    /// The type with a tag; `None` for what is none.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let digits = tag.strip_prefix(PREFIX)?;
        let mut known = KNOWN.lock();
        if let Some(known) = known.get(tag) {
            return Some(known.clone());
        }
        let digits: Vec<u8> =
            digits.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
        let document: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        let read = Self { parts: Arc::new(serde_json::from_slice(&document).ok()?), tag: tag.into() };
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(Arc::clone(&read.tag), read.clone());
        Some(read)
    }

    /// The type that an Arrow type is.
    pub fn of_data_type(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Timestamp(TimeUnit::Microsecond, Some(tag)) => Self::from_tag(tag),
            _ => None,
        }
    }

    /// New labels of these names, in this order.
    pub fn declared(names: impl IntoIterator<Item = (ObjectId, String)>) -> Vec<EnumLabel> {
        let numbered = names.into_iter().zip(1..);
        numbered.map(|((id, name), number)| EnumLabel { id, name, position: number * STEP, stored: None }).collect()
    }

    pub fn parts(&self) -> &EnumParts {
        &self.parts
    }

    pub fn tag(&self) -> &Arc<str> {
        &self.tag
    }

    pub fn data_type(&self) -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&self.tag)))
    }

    pub fn label_named(&self, name: &str) -> Option<&EnumLabel> {
        self.parts.labels.iter().find(|label| label.name == name)
    }

    /// The label of a value.
    pub fn label_at(&self, position: i64) -> Option<&EnumLabel> {
        let labels = &self.parts.labels;
        labels.binary_search_by_key(&position, |label| label.position).ok().map(|place| &labels[place])
    }

    /// The name as messages and `format_type` show it.
    pub fn shown_name(&self) -> String {
        shown_name(&self.parts.name)
    }

    /// The parts with one label more.
    pub fn with_label(&self, id: ObjectId, name: &str, place: &LabelPlace<'_>) -> Result<EnumParts, LabelRefused> {
        let mut parts = EnumParts::clone(&self.parts);
        let labels = &mut parts.labels;
        let neighbour =
            |name: &str| labels.iter().position(|label| label.name == name).ok_or(LabelRefused::NoNeighbour);
        let index = match place {
            LabelPlace::Last => labels.len(),
            LabelPlace::Before(next) => neighbour(next)?,
            LabelPlace::After(previous) => neighbour(previous)? + 1,
        };
        let before = index.checked_sub(1).map(|previous| labels[previous].position);
        let position = match (before, labels.get(index).map(|next| next.position)) {
            (None, None) => Some(STEP),
            (Some(last), None) => last.checked_add(STEP),
            (None, Some(first)) => first.checked_sub(STEP),
            (Some(previous), Some(next)) => {
                let middle = previous + (next - previous) / 2;
                (middle > previous).then_some(middle)
            }
        };
        let position = position.filter(|_| labels.len() < LABELS_MAX).ok_or(LabelRefused::NoRoom)?;
        let taken = |text: &str| labels.iter().any(|label| label.stored() == text);
        let stored = (0..).map(|number| format!("{name}~{number}")).find(|text| !taken(text)).filter(|_| taken(name));
        labels.insert(index, EnumLabel { id, name: name.to_string(), position, stored });
        Ok(parts)
    }

    /// The parts with another name for a label, whose values stay stored as they are.
    pub fn with_renamed_label(&self, from: &str, to: &str) -> Option<EnumParts> {
        let mut parts = EnumParts::clone(&self.parts);
        let label = parts.labels.iter_mut().find(|label| label.name == from)?;
        let stored = label.stored().to_string();
        label.stored = (stored != to).then_some(stored);
        label.name = to.to_string();
        Some(parts)
    }

    /// Values as segments have them.
    fn stored_values(&self, values: &ArrayRef) -> ArrayRef {
        let positions = values.as_primitive::<TimestampMicrosecondType>();
        let texts = positions.iter().map(|position| Some(self.label_at(position?)?.stored()));
        Arc::new(texts.collect::<StringViewArray>())
    }

    /// Values that segments have. A text that no label is stored by is NULL: a value whose label is unknown was never written.
    fn values_of(&self, texts: &ArrayRef) -> ArrayRef {
        let positions: HashMap<&str, i64> =
            self.parts.labels.iter().map(|label| (label.stored(), label.position)).collect();
        let read = texts.as_string_view().iter().map(|text| positions.get(text?).copied());
        Arc::new(read.collect::<TimestampMicrosecondArray>().with_timezone(Arc::clone(&self.tag)))
    }
}

/// The Arrow type of a column in segments, where its own holds an enum or a time with a zone, which is its integer there.
pub fn stored_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::List(item) => {
            let stored = stored_type(item.data_type())?;
            Some(DataType::List(Arc::new(Field::clone(item).with_data_type(stored))))
        }
        other if is_zoned_time(other) => Some(DataType::Int64),
        other => EnumType::of_data_type(other).map(|_| DataType::Utf8View),
    }
}

/// A column of such values, or of arrays of them, as segments have it.
pub fn stored_array(array: &ArrayRef) -> ArrayRef {
    match (array.data_type(), array.as_list_opt::<i32>()) {
        (DataType::List(item), Some(lists)) => with_items(lists, item, stored_array(lists.values())),
        (other, _) if is_zoned_time(other) => {
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        (other, _) => match EnumType::of_data_type(other) {
            Some(known) => known.stored_values(array),
            None => Arc::clone(array),
        },
    }
}

/// A column of segments as the Arrow type that it is a form of; what has that type already stays as it is.
pub fn array_of_stored(array: &ArrayRef, wanted: &DataType) -> ArrayRef {
    match (wanted, array.as_list_opt::<i32>()) {
        (DataType::List(item), Some(lists)) => {
            with_items(lists, item, array_of_stored(lists.values(), item.data_type()))
        }
        (wanted, _) if is_zoned_time(wanted) && *array.data_type() == DataType::Int64 => {
            let moments = array.as_primitive::<Int64Type>().reinterpret_cast::<TimestampMicrosecondType>();
            Arc::new(moments.with_timezone(zoned_time::TAG))
        }
        (wanted, _) => match (EnumType::of_data_type(wanted), array.data_type()) {
            (Some(known), DataType::Utf8View) => known.values_of(array),
            _ => Arc::clone(array),
        },
    }
}

/// Values of an earlier state of a type as those of a later one. Every other array stays as it is.
pub fn retagged(array: &ArrayRef, wanted: &DataType) -> ArrayRef {
    if array.data_type() == wanted {
        return Arc::clone(array);
    }
    match (wanted, array.as_list_opt::<i32>()) {
        (DataType::List(item), Some(lists)) => with_items(lists, item, retagged(lists.values(), item.data_type())),
        _ => match (EnumType::of_data_type(array.data_type()), EnumType::of_data_type(wanted)) {
            (Some(from), Some(to)) if from.parts.id == to.parts.id => {
                Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone(to.tag))
            }
            _ => Arc::clone(array),
        },
    }
}

fn with_items(lists: &ListArray, item: &Arc<Field>, items: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::clone(item).with_data_type(items.data_type().clone()));
    Arc::new(ListArray::new(field, lists.offsets().clone(), items, lists.nulls().cloned()))
}

impl PartialEq for EnumType {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for EnumType {}

impl Hash for EnumType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tag.hash(state);
    }
}

impl fmt::Debug for EnumType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.parts.name)
    }
}

impl Serialize for EnumType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EnumType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EnumParts::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests;
