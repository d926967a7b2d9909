"""What the suites stand on: servers, certificates, clients, results."""
