//! §7.14, §11.2

use super::*;

fn three() -> Bench {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("wiccarocks/laptop enters secondwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench
}

#[test]
fn who_leaves_hears_it_first_and_then_all_others() {
    // "the 'role' attribute MUST be set to a value of "none""
    three().play(
        "
        hag66/pda leaves thirdwitch <status>gone where the goblins go</status>
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda 110 status=gone where the goblins go
            wiccarocks/laptop: /thirdwitch gone none/none status=gone where the goblins go
            crone1/desktop: /thirdwitch gone none/none jid=hag66/pda status=gone where the goblins go
        wiccarocks/laptop <presence to='' type='unavailable'/>
            wiccarocks/laptop: /secondwitch gone none/none jid=wiccarocks/laptop 110
            crone1/desktop: /secondwitch gone none/none jid=wiccarocks/laptop
        crone1/desktop leaves nowhere
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
            destroyed
        ",
    );
}

#[test]
fn a_persistent_room_stays() {
    let mut bench = three();
    bench.room.config.persistent = true;
    bench.play(
        "
        hag66/pda leaves thirdwitch
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda 110
            wiccarocks/laptop: /thirdwitch gone none/none
            crone1/desktop: /thirdwitch gone none/none jid=hag66/pda
        wiccarocks/laptop leaves secondwitch
            wiccarocks/laptop: /secondwitch gone none/none jid=wiccarocks/laptop 110
            crone1/desktop: /secondwitch gone none/none jid=wiccarocks/laptop
        crone1/desktop leaves firstwitch
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
        ",
    );
    assert!(bench.room.is_idle());
}

#[test]
fn what_is_no_exit_is_none() {
    // §17.3: "MUST NOT treat a presence stanza with a 'type' attribute whose value is other than "unavailable" (e.g., a presence
    // probe) as a request to exit the room"; "MUST silently ignore unavailable presence received from a user who has a role of "none""
    three().play(
        "
        hag66/pda <presence to='/thirdwitch' type='probe'/>
        hag66/pda <presence to='' type='subscribe'/>
        hag66/pda <presence to='/thirdwitch' type='unsubscribed'/>
        macbeth/castle <presence to='/thane' type='probe'/>
        macbeth/castle leaves thirdwitch
        hag66/tablet leaves thirdwitch
        ",
    );
}

#[test]
fn the_service_stops() {
    // §11.2: "it SHOULD inform its participant by sending presences containing the 332 status code"
    let mut bench = three();
    bench.happens("hag66/tablet enters thirdwitch");
    bench.play(
        "
        close
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110 332
            wiccarocks/laptop: /secondwitch gone none/none jid=wiccarocks/laptop 110 332
            hag66/pda, hag66/tablet: /thirdwitch gone none/none jid=hag66/tablet 110 332
            destroyed
        ",
    );
}
