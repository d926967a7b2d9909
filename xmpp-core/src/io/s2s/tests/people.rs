//! What people on two servers do.

use super::*;

#[tokio::test]
async fn messages_go_both_ways_and_keep_their_order() {
    let net = Net::default();
    let (a, romeo, b, juliet) = pair(&net).await;
    for n in 0..50 {
        romeo
            .send(&message("juliet@b.example/balcony", &format!("m{n}")))
            .await;
    }
    for n in 0..50 {
        let stanza = juliet.hears(&format!("<body>m{n}</body>")).await;
        assert_eq!(stanza.from().unwrap().as_str(), "romeo@a.example/orchard");
    }
    juliet.send(&message("romeo@a.example", "yes")).await;
    romeo.send("<presence/>").await;
    romeo.hears("<presence").await;
    romeo.hears("yes").await;
    a.close().await;
    b.close().await;
}
