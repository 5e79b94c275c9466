//! Files with one field too many, for the tests of what reads them.

use serde_json::Value;

/// Where there is an object in `whole`, as JSON pointers.
pub(crate) fn places(whole: &Value) -> Vec<String> {
    fn collect(value: &Value, at: String, places: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    collect(field, format!("{at}/{name}"), places);
                }
                places.push(at);
            }
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    collect(item, format!("{at}/{number}"), places);
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    collect(whole, String::new(), &mut places);
    places
}

/// The same with the field `unheard_of` in the object at `place`.
pub(crate) fn added(whole: &Value, place: &str) -> Value {
    let mut more = whole.clone();
    let object = more.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
    object.insert("unheard_of".into(), 1.into());
    more
}
