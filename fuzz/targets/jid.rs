//! Addresses: what is accepted is within bounds, and is itself when prepared again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_core::Jid;
use xmpp_core::jid::PART_LEN_MAX;

fuzz_target!(|text: &str| {
    let Ok(jid) = Jid::new(text) else { return };
    let parts = [jid.local(), Some(jid.domain()), jid.resource()];
    for part in parts.into_iter().flatten() {
        assert!((1..=PART_LEN_MAX).contains(&part.len()), "{jid}");
    }
    assert!(
        jid.local()
            .is_none_or(|local| !local.contains(['@', '/', '\'', '"', '&', '<', '>', ':', ' ']))
    );
    assert_eq!(Jid::new(jid.as_str()).as_ref(), Ok(&jid), "prepared twice");
    let [local, _, resource] = parts;
    let again = Jid::from_parts(local, jid.domain(), resource);
    assert_eq!(again.as_ref(), Ok(&jid), "put together");

    let bare = jid.to_bare();
    assert_eq!(bare.as_str(), jid.bare_str());
    match jid.resource() {
        None => assert_eq!(*bare.as_jid(), jid),
        Some(resource) => {
            let full = bare.with_resource(resource).expect("it has been prepared");
            assert_eq!(*full.as_jid(), jid);
        }
    }
});
