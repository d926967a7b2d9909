//! Peers that lie, or say too much: the scenarios G of the design. `F` is such a peer: there is no node of it in these worlds, and what it says stands in the script.

mod authors;
mod floods;
mod lives;
mod peers;

use super::{Setup, World, address};

/// What is so for all names: of a node in a life that has begun when the worlds do.
const EPOCH: &str = "m2qhs0";

/// A line of a script: this stanza goes from one room to another. `FROM` and `TO` are their addresses, `NS` is our namespace, `X` what makes a join.
fn line(from: char, to: char, stanza: &str) -> String {
    let stanza = stanza
        .replace("<X/>", "<x xmlns='http://jabber.org/protocol/muc'/><x xmlns='http://jabber.org/protocol/muc#user'><item/></x>")
        .replace("<fmuc", &format!("<fmuc xmlns='{}'", crate::ns::FMUC))
        .replace("NS", &format!("xmlns='{}'", crate::ns::SYNC))
        .replace("FROM", address(from).as_str())
        .replace("TO", address(to).as_str());
    format!("{from}> {to} {stanza}\n")
}

/// F joins A with Othello, and speaks our extension: its own events have the name 1.
fn join(session: &str) -> String {
    let stanza = format!(
        "<presence from='FROM/Othello' to='TO/Othello'><X/><fmuc from='othello@cyprus.lit/c'><join NS v='1' m='pp' s='{session}'><h a='1' n='FROM' e='{EPOCH}' s='0'/></join><o NS i='1.1'/></fmuc></presence>"
    );
    line('F', 'A', &stanza)
}

/// F says that somebody is there.
fn here(jid: &str, nick: &str, extensions: &str) -> String {
    let stanza = format!(
        "<presence from='FROM/{nick}' to='TO'><fmuc from='{jid}'>{extensions}</fmuc></presence>"
    );
    line('F', 'A', &stanza)
}

/// F says that somebody has said this.
fn says(jid: &str, nick: &str, text: &str, extensions: &str) -> String {
    let stanza = format!(
        "<message type='groupchat' from='FROM/{nick}' to='TO'><body>{text}</body><fmuc from='{jid}'>{extensions}</fmuc></message>"
    );
    line('F', 'A', &stanza)
}

/// F says something in its own name.
fn own(extensions: &str) -> String {
    line(
        'F',
        'A',
        &format!("<presence from='FROM' to='TO'><fmuc>{extensions}</fmuc></presence>"),
    )
}

/// A with Alice, B with Hamlet and D with Rosalind that have joined it, and F that has.
fn world(change: impl Fn(char, &mut Setup)) -> World {
    let mut world = World::with("A B>A D>A", change);
    world.run("al enters A\nhm enters B\nro enters D");
    world.run(&join("s1"));
    world.notices.clear();
    world
}

/// Nothing comes of this, and an operator hears of it.
fn nothing(world: &mut World, script: &str, notice: &str) {
    assert_eq!(world.run(script), [""; 0], "{script}");
    let told = world.notices.iter().any(|told| told.contains(notice));
    assert!(told, "{script}: {:?}", world.notices);
    world.notices.clear();
}

/// All is as it was: everybody hears everybody.
fn unharmed(world: &mut World) {
    for (script, hears) in [
        ("al says A one", ["al", "hm", "ro"]),
        ("hm says B two", ["al", "hm", "ro"]),
        ("ro says D three", ["al", "hm", "ro"]),
    ] {
        let seen = world.run(script);
        for who in hears {
            let heard = seen
                .iter()
                .filter(|line| line.starts_with(&format!("{who}: M ")));
            assert_eq!(heard.count(), 1, "{script} {who}: {seen:#?}");
        }
    }
    for room in ['A', 'B', 'D'] {
        let roster = world.roster(room);
        for nick in ["Alice", "Hamlet", "Rosalind"] {
            assert!(roster.iter().any(|one| one == nick), "{room} {roster:?}");
        }
    }
}
