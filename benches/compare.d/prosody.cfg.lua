-- Prosody for benches/compare. What stands between two @ is filled in.
-- The features of an ordinary server that a client must ask for are loaded; nothing archives, and no limit throttles the load.
run_as_root = false
daemonize = false
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
certificates = "@DIR@"
interfaces = { "127.0.0.1" }
c2s_ports = { @PLAIN@ }
c2s_direct_tls_ports = { @TLS@ }
http_ports = { }
https_ports = { }
admin_socket = "@DIR@/prosody.sock"
modules_enabled = {
	"roster"; "saslauth"; "tls"; "disco"; "blocklist"; "carbons"; "private"; "vcard_legacy"; "ping"; "time"; "version"; "offline"; "lastactivity"; "smacks"; @MODULES@
}
@S2S@
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
network_settings = { tcp_backlog = 1024 }
ssl = { certificate = "@DIR@/cert.pem"; key = "@DIR@/key.pem" }
log = { { levels = { min = "warn" }; to = "file"; filename = "@DIR@/prosody.log" } }
VirtualHost "@DOMAIN@"
Component "rooms.@DOMAIN@" "muc"
