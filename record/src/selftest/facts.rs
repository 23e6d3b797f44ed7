//! What a trigger did: a JSON object, read by its check.

use serde_json::Value;

/// The object that a trigger returned. A fact that is not there, or of another type, is a mistake in the case: the check
/// panics with its name, and the case is reported as wrong.
pub struct Facts(pub Value);

impl Facts {
    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| self.missing(name, "text"))
    }

    /// Of any integer type.
    pub fn number<T: TryFrom<i64>>(&self, name: &str) -> T {
        let value = &self.0[name];
        // An unsigned 64-bit value keeps its bits.
        let number = value.as_i64().or_else(|| value.as_u64().map(u64::cast_signed));
        number.and_then(|n| T::try_from(n).ok()).unwrap_or_else(|| self.missing(name, std::any::type_name::<T>()))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| self.missing(name, "a boolean"))
    }

    fn missing(&self, name: &str, what: &str) -> ! {
        panic!("fact {name:?} is {}, not {what}", self.0[name])
    }
}
