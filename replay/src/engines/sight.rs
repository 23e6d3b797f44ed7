//! What the rules look at in an event: two that are the same to them need not be shown to them twice.

use std::sync::Arc;

use super::sigma_fields::Field;

/// What the rules say of an event depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No rule is about such an event.
    Nothing,
    /// The kind of the event, and these fields.
    Fields(FieldSet),
    /// More than that.
    Everything,
}

impl Sight {
    /// Of an event that is shown to the rules of both.
    pub fn and(self, other: Sight) -> Sight {
        match (self, other) {
            (Sight::Everything, _) | (_, Sight::Everything) => Sight::Everything,
            (Sight::Nothing, sight) | (sight, Sight::Nothing) => sight,
            (Sight::Fields(a), Sight::Fields(b)) => Sight::Fields(FieldSet(a.0 | b.0)),
        }
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSet(u128);

const _: () = assert!(Field::ALL.len() <= 128);

impl FieldSet {
    pub fn contains(self, field: Field) -> bool {
        self.0 >> field as u8 & 1 == 1
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let field = Field::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(*field)
        })
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        FieldSet(fields.into_iter().fold(0, |set, field| set | 1 << field as u8))
    }
}

/// A value of one event. Of two that are equal the values are; the same text may be two, where it is held twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    Nothing,
    /// Where the text is; it says something as long as the text is held.
    Text(usize),
    Number(i64),
}

/// Where a shared text is; never 0. As long as it is held no other text is there, be it empty: each has counts of its own before it.
pub fn place(text: &Arc<str>) -> usize {
    text.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::sigma_fields::{Category, EventView, SigmaEvent};
    use crate::engines::sigma_values::word;
    use crate::pipeline::{JUDGED, judged};
    use datasets::{Event, Recording};
    use std::collections::HashMap;

    /// Of each field, as rules read it.
    fn values(event: &Event) -> Vec<String> {
        let view = EventView::new(event);
        Field::ALL.iter().map(|field| format!("{:?}", SigmaEvent::new(&view).field(*field))).collect()
    }

    #[test]
    fn what_rules_can_see_is_read_and_the_same_words_are_the_same_values() {
        let recording = Recording::shipped("xmrig").unwrap();
        let (mut said, mut texts) = (HashMap::new(), Vec::new());
        for (whole, read) in recording.events_of(&JUDGED).zip(judged(&recording)).step_by(7) {
            let (whole, read) = (whole.unwrap(), read.unwrap());
            assert_eq!(Category::of(&whole), Category::of(&read));
            let seen = values(&whole);
            assert_eq!(seen, values(&read));
            // Which process and container it is stands beside the words where something is remembered.
            let words = Field::ALL.iter().zip(seen).filter(|(field, _)| !field.is_of_one_container());
            for (field, value) in words {
                let Some(word) = word(&read, *field, |text| texts.push(Arc::clone(text))) else { continue };
                let kind = read.common().kind;
                let known = said.entry((kind, *field, word)).or_insert_with(|| value.clone());
                assert_eq!(*known, value, "{kind:?} {field:?}");
            }
        }
        assert!(said.len() > 200 && !texts.is_empty());
    }

    #[test]
    fn a_set_gives_back_what_it_was_made_of() {
        let fields = [Field::Image, Field::TargetFilename, Field::DeviationKind];
        let set: FieldSet = fields.into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), fields);
        assert!(set.contains(Field::TargetFilename) && !set.contains(Field::User));
        assert_eq!(FieldSet::default().iter().count(), 0);
        assert_eq!(Field::ALL.iter().copied().collect::<FieldSet>().iter().count(), Field::ALL.len());
    }

    #[test]
    fn who_sees_everything_sees_everything() {
        let of = |field: Field| Sight::Fields([field].into_iter().collect());
        let both = [Field::Image, Field::User].into_iter().collect();
        assert_eq!(Sight::Nothing.and(of(Field::Image)), of(Field::Image));
        assert_eq!(of(Field::Image).and(of(Field::User)), Sight::Fields(both));
        assert_eq!(of(Field::Image).and(Sight::Everything), Sight::Everything);
    }
}
