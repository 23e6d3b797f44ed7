//! Events as they lie in their columns are the events that are read.

use datasets::{Event, FileLook, Given, NetworkLook, Recording};

#[test]
fn what_is_given_is_what_is_read() {
    let recording = Recording::shipped("webapp-1").unwrap();
    let (mut files, mut sockets) = (0, 0);
    for (event, given) in recording.events().zip(recording.events().given()) {
        let (event, given) = (event.unwrap(), given.unwrap());
        let common = event.common();
        assert_eq!((given.class(), given.ts()), (event.class(), common.ts));
        assert_eq!((given.cpu(), given.seq()), (common.cpu, common.seq));
        assert_eq!(given.container(), common.container.as_ref());
        if let (Given::File(row), Event::File(event)) = (&given, &event) {
            assert_eq!(format!("{:?}", row.look()), format!("{:?}", FileLook::from(event)));
            files += 1;
        }
        if let (Given::Network(row), Event::Network(event)) = (&given, &event) {
            assert_eq!(format!("{:?}", row.look()), format!("{:?}", NetworkLook::from(event)));
            sockets += 1;
        }
        assert_eq!(given.into_event(), event);
    }
    assert!(files > 1000 && sockets > 1000);
}
