//! What is for other servers goes out over one node.

use std::sync::atomic::Ordering;

use crate::world::{Client, SECOND, World};

const DOMAIN: &str = "montague.example";

/// Somebody at each of three nodes.
async fn senders(world: &World) -> [Client; 3] {
    [
        world.login(0, "romeo@example.org/a").await,
        world.login(1, "juliet@example.org/b").await,
        world.login(2, "nurse@example.org/c").await,
    ]
}

/// Sends a message, and does not wait until it has been dealt with.
fn send(from: &Client, id: &str) {
    from.leave_sending(&format!(
        "<message to='paris@{DOMAIN}/tomb' type='chat' id='{id}'><body/></message>"
    ));
}

fn holder(world: &World) -> usize {
    let outlet = world.outlet(0, DOMAIN).expect("there is a way");
    outlet[1..].parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_nodes_reach_a_domain_over_the_same_one() {
    let world = World::with_outlets(3).await;
    let senders = senders(&world).await;
    let mut sent: [Vec<String>; 3] = Default::default();
    for n in 0..60 {
        let id = format!("{}-{n}", n % 3);
        send(&senders[n % 3], &id);
        sent[n % 3].push(id);
    }
    world.wait(SECOND).await;
    let out = world.out();
    assert_eq!(out.len(), 1, "{out:?}");
    let (node, ids) = &out[0];
    assert_eq!(*node, holder(&world));
    assert_eq!(ids.len(), 60);
    for (n, sent) in sent.iter().enumerate() {
        let prefix = format!("{n}-");
        let of: Vec<_> = ids.iter().filter(|id| id.starts_with(&prefix)).collect();
        assert_eq!(of, sent.iter().collect::<Vec<_>>(), "in its order");
    }
    assert_eq!(world.held(), 40, "until the other server has them");
    world.delivered();
    world.wait(SECOND).await;
    assert_eq!(world.held(), 0);
    // Domains are spread.
    let others = (0..30).map(|n| world.outlet(1, &format!("{n}.example")));
    let others: std::collections::BTreeSet<_> = others.collect();
    assert_eq!(others.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_dies_with_goes_over_the_next_one_in_its_order() {
    let world = World::with_outlets(3).await;
    let senders = senders(&world).await;
    let dead = holder(&world);
    let from = (dead + 1) % 3;
    for n in 0..20 {
        send(&senders[from], &format!("m{n}"));
    }
    world.wait(SECOND).await;
    assert_eq!(world.out()[0].0, dead);
    world.post(dead).out.lock().unwrap().clear();
    world.kill(dead);
    // Nobody has noticed yet.
    send(&senders[from], "late");
    world.wait(20 * SECOND).await;
    let out = world.out();
    assert_eq!(out.len(), 1, "{out:?}");
    assert_ne!(out[0].0, dead);
    let mut sent: Vec<String> = (0..20).map(|n| format!("m{n}")).collect();
    sent.push("late".to_owned());
    assert_eq!(out[0].1, sent);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_takes_a_domain_over_when_it_is_silent() {
    let mut world = World::with_outlets(1).await;
    let romeo = world.login(0, "romeo@example.org/a").await;
    let names = || (0..40).map(|n| format!("{n}.example"));
    let to = |name: &str, id: usize| {
        romeo.leave_sending(&format!(
            "<message to='x@{name}' id='{id}'><body/></message>"
        ));
    };
    for name in names() {
        to(&name, 1);
    }
    world.join(true).await;
    for name in names() {
        to(&name, 2);
    }
    world.wait(SECOND).await;
    let out = world.out();
    assert_eq!(out.len(), 1, "what came before could be overtaken: {out:?}");
    assert_eq!(out[0].1.len(), 80);
    world.delivered();
    world.wait(61 * SECOND).await;
    for name in names() {
        to(&name, 3);
    }
    world.wait(SECOND).await;
    let out = world.out();
    assert_eq!(out.len(), 2);
    assert_eq!(out[0].1.len() + out[1].1.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_way_out_uses_that_of_another_and_nobody_uses_its_own() {
    let mut world = World::with_outlets(1).await;
    world.join(false).await;
    let romeo = world.login(0, "romeo@example.org/a").await;
    let juliet = world.login(1, "juliet@example.org/b").await;
    for n in 0..30 {
        for from in [&romeo, &juliet] {
            from.leave_sending(&format!(
                "<message to='x@{n}.example' id='{n}'><body/></message>"
            ));
        }
    }
    world.wait(SECOND).await;
    let out = world.out();
    assert_eq!((out.len(), out[0].0, out[0].1.len()), (1, 0, 60));
    // And when that one is gone there is none.
    world.delivered();
    world.kill(0);
    world.wait(20 * SECOND).await;
    juliet.read();
    send(&juliet, "none");
    world.wait(SECOND).await;
    let got = juliet.read();
    assert!(got[0].error().is_some() && got.len() == 1, "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_is_brought_nothing_more() {
    let world = World::with_outlets(3).await;
    let senders = senders(&world).await;
    let gone = holder(&world);
    let from = (gone + 1) % 3;
    send(&senders[from], "1");
    world.wait(SECOND).await;
    world.close_outlet(gone);
    world.wait(SECOND).await;
    for (n, sender) in senders.iter().enumerate() {
        send(sender, &format!("then-{n}"));
    }
    world.wait(SECOND).await;
    let out = world.out();
    let of = |node: usize| {
        out.iter()
            .find(|(at, _)| *at == node)
            .map(|(_, ids)| ids.len())
    };
    assert_eq!(of(gone), Some(1), "{out:?}");
    let rest: Vec<_> = (0..3).filter(|node| *node != gone).filter_map(of).collect();
    assert_eq!(rest, [3]);
}

/// Its way is closed, and it has had no time to say so.
#[tokio::test(start_paused = true)]
async fn what_cannot_go_out_any_more_goes_over_another_node() {
    let world = World::with_outlets(3).await;
    let senders = senders(&world).await;
    let closed = holder(&world);
    world.post(closed).closed.store(true, Ordering::Relaxed);
    let from = (closed + 1) % 3;
    for n in 0..5 {
        send(&senders[from], &format!("m{n}"));
    }
    world.wait(SECOND).await;
    let out = world.out();
    assert_eq!(out.len(), 1, "{out:?}");
    assert_ne!(out[0].0, closed);
    assert_eq!(out[0].1, ["m0", "m1", "m2", "m3", "m4"]);
    assert!(senders[from].read().is_empty());
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_a_cut_reach_a_domain_and_agree_again_when_it_is_silent() {
    let world = World::with_outlets(2).await;
    let senders = [
        world.login(0, "romeo@example.org/a").await,
        world.login(1, "juliet@example.org/b").await,
    ];
    world.cut(0, 1);
    world.wait(20 * SECOND).await;
    for (n, sender) in senders.iter().enumerate() {
        send(sender, &format!("{n}"));
    }
    world.wait(SECOND).await;
    assert_eq!(world.out().len(), 2);
    world.delivered();
    world.heal();
    world.wait(61 * SECOND).await;
    for (n, sender) in senders.iter().enumerate() {
        send(sender, &format!("then-{n}"));
    }
    world.wait(SECOND).await;
    assert_eq!(world.out().len(), 1);
}

/// Rooms and components are at one node in any case, and speak for themselves.
#[tokio::test(start_paused = true)]
async fn what_an_entity_sends_goes_out_where_it_is_served() {
    let world = World::with_outlets(3).await;
    let elsewhere = (holder(&world) + 1) % 3;
    let _echo = world.echo(elsewhere, "echo.example.org");
    world.wait(SECOND).await;
    let from = format!("paris@{DOMAIN}/tomb");
    let asked = format!("<message from='{from}' to='echo.example.org' id='e'><body/></message>");
    world.hear(holder(&world), &asked, DOMAIN).await;
    world.wait(SECOND).await;
    assert_eq!(world.out(), [(elsewhere, vec!["e".to_owned()])]);
}
