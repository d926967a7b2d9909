//! The example server's configuration: any text is settings or an error, and settings are
//! the same when they are written down and read again.
#![no_main]

// The module as it stands in the server, which is a program and no library.
#[path = "../../examples/server/src"]
mod server {
    #![allow(dead_code, unused_imports)]
    pub mod config;
}

use libfuzzer_sys::fuzz_target;
use server::config::Config;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(text, Vec::new()) else {
        return;
    };
    let written = toml::to_string(&config).expect("settings can be written");
    let again = Config::parse(&written, Vec::new()).expect("and read");
    assert_eq!(again, config, "{written}");
});
