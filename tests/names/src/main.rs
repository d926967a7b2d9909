//! `names ZONE [ADDRESS:PORT]` answers from a file, which is read for every question, and says where.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use names::{Zone, serve};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), address) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: names ZONE [ADDRESS:PORT]");
        return ExitCode::from(2);
    };
    let read = move || {
        let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        Zone::read(&text)
    };
    let first = read().and_then(|_| {
        let address = address.as_deref().unwrap_or("127.0.0.1:0");
        address
            .parse()
            .map_err(|_| format!("no address: {address}"))
    });
    let served = first.and_then(|address| {
        let zone = move || {
            read().unwrap_or_else(|error| {
                eprintln!("{error}");
                Zone::default()
            })
        };
        serve(address, zone).map_err(|error| error.to_string())
    });
    match served {
        Ok(address) => println!("{address}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    let _ = io::stdout().flush();
    // Whoever started it has the other end; it ends with them.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
