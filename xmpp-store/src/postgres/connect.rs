//! How connections are made.

use std::net::IpAddr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};

use super::{PostgresOptions, tls, with_cause};
use crate::error::{OpenError, Trying};

/// How long it may take to make a connection, or to wait for one that is in use.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what was sent may go without an answer of the other machine.
const SILENCE: Duration = Duration::from_secs(10);

pub(super) fn pool(options: &PostgresOptions, size: usize) -> Result<Pool, OpenError> {
    let mut config: Config = options
        .url
        .parse()
        .map_err(|error| with_cause(&error))
        .trying(|| "understand the URL of the database".into())?;
    config.connect_timeout(CONNECT_TIMEOUT);
    config.tcp_user_timeout(SILENCE);
    config.keepalives_idle(SILENCE);
    if config.get_application_name().is_none() {
        config.application_name("xmpp-store");
    }
    let how = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = match wants_tls(&config) {
        true => {
            config.ssl_mode(SslMode::Require);
            let tls = tls::Connector::new(options.roots.as_deref())?;
            Manager::from_config(config, tls, how)
        }
        false => {
            config.ssl_mode(SslMode::Disable);
            Manager::from_config(config, NoTls, how)
        }
    };
    let pool = Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT));
    pool.build()
        .trying(|| "set up a pool of connections".into())
}

/// `sslmode=prefer`, libpq's default, would go on in the clear if somebody in between
/// wished so. Here it means TLS, except on this machine.
fn wants_tls(config: &Config) -> bool {
    match config.get_ssl_mode() {
        SslMode::Disable => false,
        SslMode::Prefer => {
            !(config.get_hosts().iter().all(is_local)
                && config.get_hostaddrs().iter().all(IpAddr::is_loopback))
        }
        _ => true,
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address = name.parse().map(|address: IpAddr| address.is_loopback());
            address.unwrap_or(name == "localhost")
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_other_machines_are_encrypted_unless_told_otherwise() {
        for (url, wanted) in [
            ("postgresql://db.example.com/xmpp", true),
            ("postgresql://db.example.com/xmpp?sslmode=prefer", true),
            ("postgresql://db.example.com/xmpp?sslmode=disable", false),
            ("postgresql://192.0.2.1/xmpp", true),
            ("postgresql://localhost/xmpp", false),
            ("postgresql://127.0.0.1/xmpp", false),
            ("postgresql://localhost/xmpp?sslmode=require", true),
            ("host=::1 dbname=xmpp", false),
            ("host=/run/postgresql dbname=xmpp", false),
            ("host=/run/postgresql,db.example.com dbname=xmpp", true),
            ("host=localhost hostaddr=192.0.2.1", true),
            ("host=localhost.example.com", true),
        ] {
            assert_eq!(wants_tls(&url.parse().unwrap()), wanted, "{url}");
        }
    }

    #[test]
    fn options_do_not_show_a_password() {
        let options = PostgresOptions::new("postgresql://xmpp:secret@localhost/xmpp");
        assert!(!format!("{options:?}").contains("secret"));
        let broken = PostgresOptions::new("postgresql://xmpp:secret@localhost:x/xmpp");
        let error = pool(&broken, 1).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
