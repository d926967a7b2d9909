# `make verify` is the gate of .ci/run without the installs.

.PHONY: verify fix api fuzz

verify:
	.ci/verify

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --all-features --fix --allow-dirty --allow-staged

# Takes the public API as it is for what it should be (docs/api).
api:
	.ci/api --write

# Five minutes for each target.
fuzz:
	fuzz/run 300
