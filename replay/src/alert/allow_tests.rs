//! What entries match, and when they have expired.

use super::*;

fn list(text: &str) -> std::result::Result<AllowList, String> {
    AllowList::parse(text)
}

#[test]
fn patterns_are_wild_and_literals_are_not() {
    for (pattern, text, holds) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abbcd", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*b*b*", "abab", true),
        (r"a\*c", "a*c", true),
        (r"a\*c", "abc", false),
        ("größe*", "größer", true),
        ("", "a", false),
        ("localhost/shop/*:1", "localhost/shop/app:1", true),
    ] {
        assert_eq!(wild(pattern, text), holds, "{pattern} {text}");
    }
    for text in ["a*b", r"\", "plain", "?", r"a\*"] {
        assert!(wild(&literal(text), text), "{text}");
        assert!(!wild(&literal(text), &format!("{text}x")), "{text}");
    }
}

#[test]
fn a_day_holds_to_its_end() {
    let midnight: Timestamp = "2027-02-01T00:00:00Z".parse().unwrap();
    assert_eq!(end("2027-01-31").unwrap(), i64::try_from(midnight.as_nanosecond()).unwrap());
    let noon: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
    assert_eq!(end("2027-01-31T12:00:00Z").unwrap(), i64::try_from(noon.as_nanosecond()).unwrap());
    for wrong in ["soon", "2027-13-01", "2027-01-31T12:00:00", ""] {
        assert!(end(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_entry_must_say_what_why_and_until_when() {
    let good = "[[allow]]\nimage = \"shop:*\"\nreason = \"the backup\"\nuntil = 2027-01-31\n";
    assert_eq!(list(good).unwrap().entries[0].until, "2027-01-31");
    assert!(list("").unwrap().entries.is_empty());
    for (text, message) in [
        ("[[allow]]\nimage = \"a\"\nuntil = 2027-01-31", "`reason` is missing"),
        ("[[allow]]\nimage = \"a\"\nreason = \" \"\nuntil = 2027-01-31", "`reason` must be text"),
        ("[[allow]]\nimage = \"a\"\nreason = \"b\"", "`until` is missing"),
        ("[[allow]]\nimage = \"a\"\nreason = \"b\"\nuntil = \"soon\"", "`until` is soon"),
        ("[[allow]]\nreason = \"b\"\nuntil = 2027-01-31", "allow everything"),
        ("[[allow]]\nimgae = \"a\"\nreason = \"b\"\nuntil = 2027-01-31", "unknown key `imgae`"),
        ("[[allow]]\nimage = 3\nreason = \"b\"\nuntil = 2027-01-31", "`image` must be text"),
        ("[[alow]]\n", "alow"),
        ("[[allow]\n", "line 1"),
    ] {
        let error = list(text).expect_err(text);
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let pattern = Pattern {
        image: Some("shop/app:1".to_owned()),
        process: Some(literal("/bin/sh -c 'echo \"*\"; # \\'")),
        ..Pattern::default()
    };
    let text = entry(&pattern, "asked \"twice\"\nby ops", "2027-01-31", Some("a@b")).unwrap();
    let read = list(&text).unwrap();
    assert_eq!(read.entries[0].pattern, pattern);
    assert_eq!(read.entries[0].reason, "asked \"twice\"\nby ops");
    assert!(entry(&Pattern::default(), "x", "2027-01-31", None).is_err());
    assert!(entry(&pattern, "x", "next week", None).is_err());
}
