use super::*;

fn options(until: Option<&str>) -> Options {
    Options { bucket: HOUR, seasons: vec![24 * HOUR], level: 0.99, until: until.map(str::to_owned) }
}

fn pair(peer: &str) -> Pair {
    let (peer, protocol) = (peer.to_owned(), "tcp".to_owned());
    Pair { container: "shop-web".into(), image: "shop/web:1".into(), peer, protocol, port: Some(443), client: true }
}

#[test]
fn lengths_of_time_are_read_and_others_refused() {
    let read = ["90s", "10m", "1h30m", "1h", "1d", "1w", "500ms"].map(|text| duration(text).unwrap() / 1_000_000);
    assert_eq!(read, [90_000, 600_000, 5_400_000, 3_600_000, 86_400_000, 604_800_000, 500]);
    for bad in ["", "5", "x", "-1h", "0s", "1us", "1mo", "1000000d"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_learned_part_and_the_rest_are_told_apart() {
    let mut buckets = Buckets::new(HOUR);
    assert!(parts(&buckets, &options(None)).unwrap_err().hint().contains("--bucket"));
    buckets.cover(0, 100 * HOUR + 7);
    assert_eq!(parts(&buckets, &options(None)).unwrap(), (0, 75, 100));
    assert_eq!(parts(&buckets, &options(Some("+48h"))).unwrap(), (0, 48, 100));
    assert_eq!(parts(&buckets, &options(Some("+3d"))).unwrap(), (0, 72, 100));
    assert_eq!(parts(&buckets, &options(Some("1970-01-02T00:30:00Z"))).unwrap(), (0, 24, 100));
    for (until, says) in [("+100h", "leaves nothing"), ("+0", "leaves nothing"), ("soon", "no moment")] {
        let error = parts(&buckets, &options(Some(until))).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let uneven = Options { seasons: vec![90 * 60 * 1_000_000_000], ..options(None) };
    assert!(seasons(&uneven).unwrap_err().to_string().contains("5400 s is not two or more"));
    let default = |bucket| seasons(&Options { seasons: Vec::new(), bucket, ..options(None) });
    assert_eq!((default(HOUR).unwrap(), default(HOUR / 60).unwrap()), (vec![24], vec![60, 1440]));
    assert!(default(HOUR * 7).unwrap_err().to_string().contains("neither an hour"));
}

#[test]
fn a_line_says_what_was_outside_and_by_how_much() {
    // A million bytes at noon of each day, a thousand at any other hour; on the last day a million at three.
    let bytes = |hour: usize| match (hour / 24, hour % 24) {
        (_, 12) | (5, 3) => 1e6,
        (5, 20) => 0.0,
        _ => 1_000.0,
    };
    let values: Vec<Option<f64>> = (0..6 * 24).map(|hour| Some(bytes(hour))).collect();
    let found = line(&pair("domain api.example public"), Way::Out, &values, 5 * 24, &[24], &options(None), 0);
    assert_eq!((found.unfit.as_deref(), found.tried, &found.seasons_s[..]), (None, 3, &[86_400.0][..]));
    let outside: Vec<_> =
        found.held_back.iter().filter_map(|held| Some((held.begin / HOUR % 24, held.beyond()?))).collect();
    let [(3, above), (20, below)] = outside[..] else { panic!("{outside:?}") };
    assert!((900_000.0..1e6).contains(&above) && (-1_000.0..-500.0).contains(&below), "{outside:?}");
    assert_eq!(found.outside(), (24, 2));

    let short = line(&pair("public 203.0.113.0/24"), Way::In, &values, 30, &[24], &options(None), 0);
    assert!(short.unfit.as_deref().unwrap().contains("30 buckets were learned"), "{short:?}");
    let forecasts = Forecasts {
        recordings: vec!["r".to_owned()],
        bucket_s: 3600.0,
        level: 0.99,
        from: 0,
        until: 5 * 24 * HOUR,
        to: 6 * 24 * HOUR,
        lines: vec![found, short],
        limits: Vec::new(),
    };
    let text = render(&forecasts, Some(80));
    for part in
        ["shop-web", "2 of 24", "01-06 03:00:00", "976.56 KiB, forecast", "no forecast:", "1 of 2 ways: 30 buckets"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&to_json(&forecasts)).unwrap();
    assert_eq!((&json["lines"][0]["way"], &json["lines"][0]["port"]), (&"out".into(), &443.into()));
    assert_eq!(json["lines"][0]["held_back"][3]["bytes"], 1e6);
    let svg = draw(&forecasts).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("<circle").count() == 2, "{svg}");
}
