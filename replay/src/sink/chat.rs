//! Chats: Slack by an incoming webhook, WeCom by a group robot. Text from the recording never becomes markup.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::Http;
use super::{Body, Failure, Message, Sink};
use crate::output::text::{clean, shorten};

/// Slack's limits, characters: <https://docs.slack.dev/reference/block-kit/blocks>.
const SLACK_HEADER: usize = 150;
const SLACK_SECTION: usize = 3000;
/// WeCom's limit for a text, bytes: <https://developer.work.weixin.qq.com/document/path/91770>.
const WECOM_TEXT: usize = 2048;

pub struct Slack(pub Http);

impl Sink for Slack {
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        self.0.post_json(&slack(message), &message.key, within).map(|_| ())
    }
}

fn slack(message: &Message) -> Value {
    let title = message.title();
    let plain = |text: String| json!({ "type": "plain_text", "text": text, "emoji": false });
    // What the facts' values hold is shown as it is: plain text knows no mentions, links or formats.
    let facts =
        message.facts().into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n");
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(shorten(&title, SLACK_HEADER)) }),
        json!({ "type": "section", "text": plain(shorten(&facts, SLACK_SECTION)) }),
    ];
    if let Body::Alert(alert) = &message.body {
        let commands: Vec<_> =
            alert.commands.iter().map(|command| format!("# {}\n{}", command.why, clean(&command.run))).collect();
        if !commands.is_empty() {
            blocks.push(json!({ "type": "section", "text": plain(shorten(&commands.join("\n"), SLACK_SECTION)) }));
        }
    }
    // `text` is the notification, and is read as markup.
    json!({ "text": escape(&title), "blocks": blocks })
}

/// Slack's three characters: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub struct Wecom(pub Http);

impl Sink for Wecom {
    /// WeCom answers with 200 and an error in the body.
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        let text = cut(&message.text(), WECOM_TEXT);
        let body = json!({ "msgtype": "text", "text": { "content": text } });
        let answer = self.0.post_json(&body, &message.key, within)?;
        let answer: Value = serde_json::from_str(&answer.body)
            .map_err(|_| Failure::passing("the answer is no JSON, as WeCom's are"))?;
        match answer["errcode"].as_i64() {
            Some(0) => Ok(()),
            code => {
                let why = shorten(&clean(answer["errmsg"].as_str().unwrap_or("no errmsg")), 200);
                let why =
                    format!("errcode {}: {why}", code.map_or_else(|| "missing".to_owned(), |code| code.to_string()));
                // -1: WeCom is busy; 45009: more than 20 messages a minute.
                let may_pass = matches!(code, Some(-1 | 45009));
                Err(Failure { why, may_pass, after: (code == Some(45009)).then_some(Duration::from_secs(10)) })
            }
        }
    }
}

/// At most `max` bytes, at a character's border.
fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_bytes_at_borders() {
        assert_eq!(cut("größe", 100), "größe");
        let long = cut(&"ö".repeat(2000), WECOM_TEXT);
        assert!(long.len() <= WECOM_TEXT && long.ends_with('…'), "{}", long.len());
        assert_eq!(escape("<!channel> & co"), "&lt;!channel&gt; &amp; co");
    }
}
