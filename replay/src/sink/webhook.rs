//! Any HTTP receiver: the whole alert or incident as JSON.

use std::time::Duration;

use super::http::Http;
use super::{Failure, Message, Sink};

pub struct Webhook(pub Http);

impl Sink for Webhook {
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        self.0.post_json(&message.to_json(), &message.key, within).map(|_| ())
    }
}
