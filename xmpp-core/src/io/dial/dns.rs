//! The name service by DNS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::resolver::{Resolver, Srv, Unresolved};

/// How long one name server is waited for.
const ANSWER: Duration = Duration::from_secs(4);
/// How often a question is put again if nobody answers.
const RETRIES: usize = 1;
/// How long it is remembered at most that there is no such name: a domain that has just come to be is soon found.
const NONE_FOR: Duration = Duration::from_secs(60);
/// How long an answer is remembered at most. Operators who move a server count on a day, if they say nothing else.
const SOME_FOR: Duration = Duration::from_secs(86_400);

/// Asks the name servers of the operating system's configuration, or those that it is given.
///
/// Answers are remembered for as long as they say (a day at most; that there is none, for a minute at most). A question that nobody
/// answers is given up within some seconds.
pub struct Dns {
    resolver: TokioResolver,
}

/// Why [`Dns`] cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("name service: {0}")]
pub struct DnsError(String);

impl Dns {
    /// As the operating system has it: `/etc/resolv.conf` and `/etc/hosts`.
    ///
    /// # Errors
    /// [`DnsError`] if that cannot be read or is not understood.
    pub fn system() -> Result<Dns, DnsError> {
        let builder = TokioResolver::builder_tokio().map_err(failed)?;
        Dns::build(builder, ResolveHosts::Always)
    }

    /// These name servers and nothing else, by UDP, and by TCP for what does not fit.
    ///
    /// # Errors
    /// [`DnsError`] if there are none.
    pub fn servers(servers: &[SocketAddr]) -> Result<Dns, DnsError> {
        if servers.is_empty() {
            return Err(DnsError("no name server".to_owned()));
        }
        let servers = servers.iter().map(|server| {
            let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for way in &mut ways {
                way.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, ways.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Dns::build(builder, ResolveHosts::Never)
    }

    fn build(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
        hosts: ResolveHosts,
    ) -> Result<Dns, DnsError> {
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = ANSWER;
        options.attempts = RETRIES;
        options.use_hosts_file = hosts;
        options.negative_max_ttl = Some(NONE_FOR);
        options.positive_max_ttl = Some(SOME_FOR);
        let resolver = builder.build().map_err(failed)?;
        Ok(Dns { resolver })
    }
}

#[async_trait]
impl Resolver for Dns {
    async fn srv(&self, name: &str) -> Result<Vec<Srv>, Unresolved> {
        let found = self.resolver.srv_lookup(name).await;
        records(found, |record| match &record.data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        })
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let (v6, v4) = tokio::join!(
            self.resolver.ipv6_lookup(host),
            self.resolver.ipv4_lookup(host)
        );
        let address = |record: &Record| record.data.ip_addr();
        match (records(v6, address), records(v4, address)) {
            (Ok(v6), Ok(v4)) => Ok([v6, v4].concat()),
            (Ok(some), Err(Unresolved)) | (Err(Unresolved), Ok(some)) if !some.is_empty() => {
                Ok(some)
            }
            _ => Err(Unresolved),
        }
    }
}

/// What an answer holds, and nothing of what led to it (CNAME).
fn records<T>(
    found: Result<Lookup, NetError>,
    read: impl Fn(&Record) -> Option<T>,
) -> Result<Vec<T>, Unresolved> {
    match found {
        Ok(lookup) => Ok(lookup.answers().iter().filter_map(read).collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => {
            tracing::debug!(%error, "no answer from the name service");
            Err(Unresolved)
        }
    }
}

fn failed(error: NetError) -> DnsError {
    DnsError(error.to_string())
}

#[cfg(test)]
mod tests;
