//! The messages of one login, from a client that may be anybody: it ends soon, nobody gets
//! in as somebody else, and after the end nothing goes on.
//!
//! The input is the mechanism (one byte, whose top bits say what the channel has), and the
//! messages, each ended by the byte FF, which UTF-8 does not have.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use xmpp_core::BareJid;
use xmpp_core::sasl::{
    Answer, Ask, Channel, ChannelBinding, Credentials, Hash, Identity, Input, Keys, MIN_ITERATIONS,
    Mechanism, Negotiation, Nonce, Offer, Policy, Secret, Step, decode, decode_initial, encode,
    encode_optional,
};

const PASSWORD: &str = "r0m30myr0m30";
/// Messages before an exchange has to be over: none here needs more than three.
const MOST: usize = 4;

static JULIET: LazyLock<BareJid> = LazyLock::new(|| BareJid::new("juliet@example.com").unwrap());
static STORED: LazyLock<Credentials> = LazyLock::new(|| {
    let keys = |hash| Keys::derive(hash, PASSWORD, MIN_ITERATIONS, b"salt of the sea").unwrap();
    Hash::ALL.into_iter().map(keys).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((&first, messages)) = input.split_first() else {
        return;
    };
    let mechanism = Mechanism::ALL[usize::from(first & 0x1F) % Mechanism::ALL.len()];
    let mut channel = Channel::default();
    channel.tls = first & 0x20 != 0;
    if first & 0x40 != 0 {
        channel.bindings.push(ChannelBinding::TlsExporter([7; 32]));
    }
    if first & 0x80 != 0 {
        channel.identities.push(JULIET.clone());
    }
    let mut policy = Policy::new(Secret::from([7; 32]));
    policy.mechanisms = Mechanism::ALL.to_vec();
    let domain = BareJid::new("example.com").unwrap();
    let nonce: Nonce = "server-nonce".parse().unwrap();
    let mut server = Negotiation::new(Offer::to_client(&policy, &domain, &channel), nonce);

    let mut messages = messages.split(|&byte| byte == 0xFF);
    let mut message = messages.next();
    message.iter().for_each(|message| check_text(message));
    let mut step = server.handle(Input::Auth {
        mechanism: mechanism.name(),
        initial: message,
    });
    for _ in 0..MOST {
        while let Step::Ask(ask) = step {
            step = server.handle(Input::Answer(answer(ask)));
        }
        match step {
            Step::Challenge(_) => {}
            Step::Success { ref identity, .. } => {
                let allowed = match identity {
                    Identity::Jid(jid) => *jid == *JULIET,
                    Identity::Anonymous => mechanism == Mechanism::Anonymous,
                };
                assert!(allowed, "{identity:?} by {mechanism:?}");
                return assert_over(server);
            }
            _ => return assert_over(server),
        }
        message = messages.next();
        let Some(message) = message else { return };
        check_text(message);
        step = server.handle(Input::Response(message));
    }
    panic!("no end: {step:?}");
});

fn answer(ask: Ask) -> Answer {
    match ask {
        Ask::Credentials(jid) => Answer::Credentials((jid == *JULIET).then(|| STORED.clone())),
        // Without the rounds, which would be all that there is time for.
        Ask::Password(check) => {
            Answer::Password(*check.account() == *JULIET && check.password() == PASSWORD)
        }
        Ask::Account(jid) => Answer::Account(jid == *JULIET),
    }
}

fn assert_over(mut server: Negotiation) {
    for input in [
        Input::Response(b""),
        Input::Abort,
        Input::Answer(Answer::Password(true)),
    ] {
        assert!(matches!(server.handle(input), Step::Failure(_)));
    }
}

/// The text that carries messages is read in one way only.
fn check_text(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(message) = decode(text) {
        assert!(text == "=" || encode(&message) == text);
    }
    if let Ok(message) = decode_initial(text) {
        assert_eq!(encode_optional(message.as_deref()), text);
    }
}
