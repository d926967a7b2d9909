# `make verify` is the gate of .ci/run without the installs.

.PHONY: verify fix

verify:
	.ci/verify

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --all-features --fix --allow-dirty --allow-staged
