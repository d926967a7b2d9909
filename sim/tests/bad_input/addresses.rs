//! Addresses and namespaces that are none.

use sim::{World, run};

use super::{Bystanders, condition, end};

/// RFC 7622 §3.1: each part has 1023 bytes at most; RFC 6120 §8.3.3.8: `<jid-malformed/>`.
#[test]
fn addresses_are_as_long_as_they_may_be_and_no_longer() {
    let [most, more] = [1023, 1024].map(|length| "j".repeat(length));
    // Of three bytes each: 341 fit.
    let [most_wide, more_wide] = [341, 342].map(|length| "あ".repeat(length));
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let mut client = world.login("tybalt").await;
        for (to, error) in [
            (format!("{most}@example.org"), "service-unavailable"),
            (format!("{more}@example.org"), "jid-malformed"),
            (format!("{most_wide}@example.org"), "service-unavailable"),
            (format!("{more_wide}@example.org"), "jid-malformed"),
            (format!("romeo@example.org/{most}"), "service-unavailable"),
            (format!("romeo@example.org/{more}"), "jid-malformed"),
            (format!("romeo@{more}"), "jid-malformed"),
            ("@example.org".to_owned(), "jid-malformed"),
            ("romeo@".to_owned(), "jid-malformed"),
            ("romeo@example.org/".to_owned(), "jid-malformed"),
            ("a b@example.org".to_owned(), "jid-malformed"),
            (
                "romeo@example.org/\u{fffe}".replace('\u{fffe}', "&#x7f;"),
                "jid-malformed",
            ),
        ] {
            let text = format!("<iq to='{to}' type='get' id='i'><q xmlns='urn:example:q'/></iq>");
            bystanders.chat_while(client.send(text)).await.unwrap();
            let reply = client.element().await.unwrap();
            assert_eq!(
                condition(&reply),
                Some(error),
                "{} bytes: {to:.60}",
                to.len()
            );
        }
    });
}

#[test]
fn no_resource_is_bound_that_is_none() {
    run(async {
        let world = World::new(0);
        let account = world.account("tybalt").await;
        let mut client = world.client();
        client
            .authenticate(&account, &mut world.rng())
            .await
            .unwrap();
        for resource in ["r".repeat(1024), "\u{7}".replace('\u{7}', "&#x85;")] {
            let bind = format!(
                "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <resource>{resource}</resource></bind></iq>"
            );
            client.send(bind).await.unwrap();
            let reply = client.element().await.unwrap();
            assert_eq!(condition(&reply), Some("bad-request"));
        }
        client.bind(Some(&"r".repeat(1023))).await.unwrap();
    });
}

/// RFC 6120 §4.8.3, §4.9.3.24: what is not in the content namespace is no stanza.
#[test]
fn a_stanza_of_another_namespace_is_none() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        for text in [
            "<message xmlns='jabber:server' to='romeo@example.org/romeo'/>",
            "<message xmlns='' to='romeo@example.org/romeo'/>",
            "<message xmlns='http://etherx.jabber.org/streams'/>",
            "<stream:message to='romeo@example.org/romeo'/>",
            "<x:iq xmlns:x='urn:example:x' type='get' id='1'/>",
            "<stream:features/>",
        ] {
            let mut client = world.login("tybalt").await;
            bystanders.chat_while(client.send(text)).await.unwrap();
            assert_eq!(end(&mut client).await, "unsupported-stanza-type", "{text}");
        }
        // One in the content namespace is one by any prefix.
        let mut client = world.login("tybalt").await;
        let text = "<c:message xmlns:c='jabber:client' to='tybalt@example.org/tybalt' id='1'>\
            <c:body>Hi</c:body></c:message>";
        client.send(text).await.unwrap();
        let heard = client.element().await.unwrap();
        assert_eq!(heard.child("body", sim::xml::CLIENT).unwrap().text(), "Hi");
    });
}
