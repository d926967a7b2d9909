//! §7.6

use super::*;

fn bench() -> Bench {
    let mut bench = Bench::open(|_| {});
    bench.reserve("wiccarocks", Affiliation::Member, Some("secondwitch"));
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("macbeth/castle enters thane");
    bench.happens("hag66/pda enters thirdwitch");
    bench
}

#[test]
fn all_hear_of_the_new_nick_under_the_old_one() {
    // "The unavailable presence MUST contain [...]: The new nickname [...], A status code of 303"
    bench().play(
        "
        hag66/pda <presence to='/oldhag' id='ifd1c35'><show>away</show></presence>
            hag66/pda: /thirdwitch gone none/participant jid=hag66/pda nick=oldhag 110 303
            macbeth/castle: /thirdwitch gone none/participant nick=oldhag 303
            crone1/desktop: /thirdwitch gone none/participant jid=hag66/pda nick=oldhag 303
            hag66/pda: /oldhag is none/participant jid=hag66/pda 110 show=away
            macbeth/castle: /oldhag is none/participant show=away
            crone1/desktop: /oldhag is none/participant jid=hag66/pda show=away
        hag66/pda says Harpier cries.
            crone1/desktop, macbeth/castle, hag66/pda: /oldhag says Harpier cries.
        hag66/pda <presence to='/OldHag'/>
            hag66/pda: /oldhag gone none/participant jid=hag66/pda nick=OldHag 110 303
            macbeth/castle: /oldhag gone none/participant nick=OldHag 303
            crone1/desktop: /oldhag gone none/participant jid=hag66/pda nick=OldHag 303
            hag66/pda: /OldHag is none/participant jid=hag66/pda 110
            macbeth/castle: /OldHag is none/participant
            crone1/desktop: /OldHag is none/participant jid=hag66/pda
        ",
    );
}

#[test]
fn a_nick_of_another_is_refused() {
    // "the service MUST deny the nickname change request and inform the user of the conflict"
    bench().play(
        "
        hag66/pda <presence to='/firstwitch'/>
            hag66/pda: /firstwitch presence error cancel conflict
        hag66/pda <presence to='/FIRSTWITCH'/>
            hag66/pda: /FIRSTWITCH presence error cancel conflict
        hag66/pda <presence to='/secondwitch'/>
            hag66/pda: /secondwitch presence error cancel conflict
        hag66/pda <presence to='/ '/>
            hag66/pda: /  presence error modify jid-malformed
        wiccarocks/laptop enters fourthwitch
            wiccarocks/laptop << /firstwitch is owner/moderator
            wiccarocks/laptop << /thane is none/participant
            wiccarocks/laptop << /thirdwitch is none/participant
            wiccarocks/laptop << /fourthwitch is member/participant jid=wiccarocks/laptop 110
            wiccarocks/laptop <<  says subject=\"\"
            macbeth/castle, hag66/pda: /fourthwitch is member/participant
            crone1/desktop: /fourthwitch is member/participant jid=wiccarocks/laptop
        wiccarocks/laptop <presence to='/secondwitch'/>
            wiccarocks/laptop: /fourthwitch gone member/participant jid=wiccarocks/laptop nick=secondwitch 110 303
            macbeth/castle, hag66/pda: /fourthwitch gone member/participant nick=secondwitch 303
            crone1/desktop: /fourthwitch gone member/participant jid=wiccarocks/laptop nick=secondwitch 303
            wiccarocks/laptop: /secondwitch is member/participant jid=wiccarocks/laptop 110
            macbeth/castle, hag66/pda: /secondwitch is member/participant
            crone1/desktop: /secondwitch is member/participant jid=wiccarocks/laptop
        ",
    );
}

#[test]
fn all_clients_of_an_occupant_have_the_new_nick() {
    let mut bench = bench();
    bench.happens("hag66/tablet enters thirdwitch");
    bench.play(
        "
        hag66/pda <presence to='/oldhag'/>
            hag66/pda, hag66/tablet: /thirdwitch gone none/participant jid=hag66/tablet nick=oldhag 110 303
            macbeth/castle: /thirdwitch gone none/participant nick=oldhag 303
            crone1/desktop: /thirdwitch gone none/participant jid=hag66/tablet nick=oldhag 303
            hag66/tablet, hag66/pda: /oldhag is none/participant jid=hag66/pda 110
            macbeth/castle: /oldhag is none/participant
            crone1/desktop: /oldhag is none/participant jid=hag66/pda
        hag66/tablet leaves thirdwitch
            hag66/tablet: /oldhag gone none/none jid=hag66/tablet 110
        ",
    );
}
