//! Lies about events, slots, outstanding work, the feed, and what was erased. Not here: records (`records`).

use mnemic_core::{EventId, PastChange, RecordId, Task, ThreadId, UserId, Value, Version};

use super::{
    Counts::{Equal, Other},
    Lie,
    lived::{at, changes, entries, number, place, relink, second, slots, written},
};

/// Of a copy that was made at once.
pub(crate) const LIES: &[Lie] = &[
    ("an event's word", "event 2 differs", Equal, |c| second(c, |event| event.action.push('x'))),
    ("an event's particulars", "event 2 differs", Equal, |c| {
        second(c, |event| drop(event.payload.insert("text".to_owned(), Value::from("hallo"))));
    }),
    ("an event's number of another form", "event 2 differs", Equal, |c| {
        second(c, |event| drop(event.payload.insert("count".to_owned(), number(1.0))));
    }),
    ("an event's time", "event 2 differs", Equal, |c| second(c, |event| event.timestamp = at(6))),
    ("an event's person", "event 2 differs", Equal, |c| second(c, |event| event.user_id = UserId::new("carl").ok())),
    ("an event's name", "event 2 differs", Equal, |c| second(c, |event| event.event_id = EventId::new("e9").unwrap())),
    ("an event's thread", "event 2 differs", Equal, |c| {
        second(c, |event| event.thread_id = ThreadId::new("phone").unwrap());
    }),
    ("an event's source", "event 2 differs", Equal, |c| second(c, |event| event.source.push('x'))),
    ("an event's tags", "event 2 differs", Equal, |c| second(c, |event| event.tags.clear())),
    ("when an event was kept", "event 3 differs", Equal, |c| {
        entries(c).nth(2).unwrap().recorded_at = at(7);
        relink(c);
    }),
    ("two events changed places", "event 1 differs", Equal, |c| {
        let events: Vec<_> = entries(c).take(2).map(|entry| entry.event.clone()).collect();
        for (entry, event) in entries(c).zip(events.into_iter().rev()) {
            entry.event = event;
        }
        relink(c);
    }),
    ("an event twice in place of another", "event 3 differs", Equal, |c| {
        let mut again = entries(c).nth(1).unwrap().event.clone().unwrap();
        again.event_id = EventId::new("e2 again").unwrap();
        entries(c).nth(2).unwrap().event = Some(again);
        relink(c);
    }),
    ("a salt", "event 1 differs", Equal, |c| {
        entries(c).next().and_then(|entry| entry.salt.as_mut()).unwrap().0[0] ^= 1;
        relink(c);
    }),
    ("an erased event", "event 2 differs", Equal, |c| {
        let entry = entries(c).nth(1).unwrap();
        (entry.event, entry.salt) = (None, None);
    }),
    ("a dropped event", "event 3 differs", Other, |c| {
        let dropped = place(c, |change| matches!(change, PastChange::Appended(entry) if entry.sequence.0 == 3));
        c[dropped].changes[0] = PastChange::EventErased(mnemic_core::Sequence(2));
        for (sequence, entry) in (1..).zip(entries(c)) {
            entry.sequence = mnemic_core::Sequence(sequence);
        }
        relink(c);
    }),
    ("a slot's text", "version 2 of the slots of thread \"talk\"", Equal, |c| {
        slots(c, 2, |slots| drop(slots.insert("persona".to_owned(), "judge".to_owned())));
    }),
    ("a slot's name", "version 2 of the slots of thread \"talk\"", Equal, |c| {
        slots(c, 2, |slots| {
            let text = slots.remove("persona").unwrap();
            slots.insert("Persona".to_owned(), text);
        });
    }),
    ("a superseded slot", "version 1 of the slots of thread \"talk\"", Equal, |c| {
        slots(c, 1, |slots| drop(slots.insert("persona".to_owned(), "judge".to_owned())));
    }),
    ("a swapped slot version", "version 1 of the slots of thread \"talk\"", Equal, |c| {
        slots(c, 1, |slots| drop(slots.insert("persona".to_owned(), "attorney".to_owned())));
        slots(c, 2, |slots| drop(slots.insert("persona".to_owned(), "paralegal".to_owned())));
    }),
    ("a slot that was never there", "version 2 of the slots of thread \"talk\"", Equal, |c| {
        slots(c, 2, |slots| drop(slots.insert("extra".to_owned(), "x".to_owned())));
    }),
    ("slots of another thread", "thread \"phone\" has 0 versions of slots in the source", Equal, |c| {
        for change in changes(c) {
            if let PastChange::Slots { thread_id, .. } = change {
                *thread_id = ThreadId::new("phone").unwrap();
            }
        }
    }),
    ("forgotten work", "version 1 of record \"waits\", since", Other, |c| written(c, "waits", 1).tasks.clear()),
    ("other work", "the index far for version 1 of record \"waits\"", Equal, |c| {
        written(c, "waits", 1).tasks[0].task = Task::Index("far".to_owned());
    }),
    ("work that waits since another time", "record \"waits\", since", Equal, |c| {
        written(c, "waits", 1).tasks[0].since = at(1);
    }),
    ("work for another version", "for version 7 of record \"waits\"", Equal, |c| {
        written(c, "waits", 1).tasks[0].version = Version(7);
    }),
    ("the time of a commit", "change 2:", Equal, |c| c[1].at = at(21)),
    ("a missing end", "the feed reaches position", Other, |c| drop(c.pop())),
    ("an erasure of another name", "record \"named\" erased in the source", Equal, |c| {
        let told = changes(c).find(|change| matches!(change, PastChange::Erased(Some(_)))).unwrap();
        *told = PastChange::Erased(RecordId::new("somebody else").ok());
    }),
];

/// Of a copy that was begun before something was erased, and did not hear all of it.
pub(crate) const LATE: &[Lie] = &[
    ("an erased record that is still there", "record \"secret\" is only in the target", Other, |c| {
        of_erasure(c).removed.records.retain(|id| id.as_str() != "secret");
    }),
    ("an erased revision that is still there", "record \"handed\" has", Other, |c| {
        of_erasure(c).removed.revisions.clear();
    }),
    ("erased slots that are still there", "thread \"private\" has 0 versions of slots in the source", Other, |c| {
        of_erasure(c).removed.threads.clear();
    }),
    ("an erased event that can still be read", "event 4 differs", Equal, |c| {
        for change in changes(c) {
            if matches!(change, PastChange::EventErased(_)) {
                *change = PastChange::EventErased(mnemic_core::Sequence(99));
            }
        }
    }),
    ("another event erased in its place", "event 2 differs", Equal, |c| {
        for change in changes(c) {
            if matches!(change, PastChange::EventErased(_)) {
                *change = PastChange::EventErased(mnemic_core::Sequence(2));
            }
        }
    }),
];

fn of_erasure(commits: &mut [mnemic_core::PastCommit]) -> &mut mnemic_core::PastCommit {
    commits.iter_mut().find(|commit| !commit.removed.is_empty()).unwrap()
}
