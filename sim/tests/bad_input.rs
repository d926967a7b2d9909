//! Clients that mean harm. For each: the error that the specifications ask for, a bound
//! on what the server takes in, and others who are served within [`TURNS`] turns of the
//! scheduler all the while.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::disallowed_methods)] // attackers are tasks

#[path = "bad_input/addresses.rs"]
mod addresses;
#[path = "bad_input/crowds.rs"]
mod crowds;
#[path = "bad_input/floods.rs"]
mod floods;
#[path = "bad_input/login.rs"]
mod login;
#[path = "bad_input/memory.rs"]
mod memory;
#[path = "bad_input/numbers.rs"]
mod numbers;
#[path = "bad_input/slow.rs"]
mod slow;
#[path = "bad_input/tls.rs"]
mod tls;

use std::time::Duration;

use sim::client::{Client, Heard};
use sim::link::End;
use sim::world::turns;
use sim::{World, xml};

/// Turns within which a message is with its recipient, whatever others do: the sender
/// writes, his connection reads and routes, the recipient's writes, she reads; and each
/// may have had its turn just before there was something for it.
const TURNS: usize = 8;

/// Two people who chat, whatever happens around them.
struct Bystanders {
    romeo: Client<End>,
    juliet: Client<End>,
    said: usize,
}

impl Bystanders {
    async fn new(world: &World) -> Bystanders {
        Bystanders {
            romeo: world.login("romeo").await,
            juliet: world.login("juliet").await,
            said: 0,
        }
    }

    /// A message from him to her, in time.
    async fn chat(&mut self) {
        self.said += 1;
        let message = format!(
            "<message to='juliet@example.org/juliet' id='{}'/>",
            self.said
        );
        let (heard, turns) = turns(async {
            self.romeo.send(message).await.unwrap();
            self.juliet.element().await.unwrap()
        })
        .await;
        assert_eq!(heard.attr("id"), Some(self.said.to_string().as_str()));
        assert!(turns <= TURNS, "it took {turns} turns");
    }

    /// They chat until this has happened.
    async fn chat_while<T>(&mut self, happens: impl Future<Output = T>) -> T {
        let mut happens = std::pin::pin!(happens);
        let mut output = None;
        loop {
            let mut chatting = std::pin::pin!(async {
                for _ in 0..10 {
                    self.chat().await;
                }
                // Time passes only when nobody has anything to do.
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
            // What has been said is heard, whatever has happened.
            let mut over = false;
            while !over {
                tokio::select! {
                    biased;
                    happened = &mut happens, if output.is_none() => output = Some(happened),
                    () = &mut chatting => over = true,
                }
            }
            if let Some(output) = output {
                return output;
            }
        }
    }
}

/// The error that a stream ends with, or what else was heard. Who goes on sending when
/// the server has closed its side finds the connection reset.
async fn end(client: &mut Client<End>) -> String {
    let rest = client.rest().await;
    if let [
        ..,
        Heard::Xml(xml::Heard::Element(error)),
        Heard::Xml(xml::Heard::Footer),
        Heard::End | Heard::Broken(_),
    ] = &rest[..]
        && error.is("error", xml::STREAM)
        && let Some(condition) = error.children().next()
    {
        return condition.name.clone();
    }
    rest.iter().map(|heard| format!("{heard}; ")).collect()
}

/// The condition of a stanza error.
fn condition(stanza: &xml::Tree) -> Option<&str> {
    let error = stanza.child("error", xml::CLIENT)?;
    Some(&error.children().next()?.name)
}
