//! `<fmuc/>`: whatever it is, it is refused or read, and what was read is the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_core::xml::Element;
use xmpp_muc_federated::fmuc::Fmuc;

fuzz_target!(|text: &str| {
    let Ok(element) = Element::parse(text) else {
        return;
    };
    let Ok(read) = Fmuc::read(&element) else {
        return;
    };
    let written = read.to_element();
    assert_eq!(Fmuc::read(&written).as_ref(), Ok(&read), "{written}");
    let again = Element::parse(&written.to_string()).expect("what is written is an element");
    assert_eq!(Fmuc::read(&again), Ok(read), "{written}");
});
