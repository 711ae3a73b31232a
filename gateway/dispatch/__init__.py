"""Ways out: `contract` says what a channel is, `registry` which ones the configuration opens; one file each for `mqtt` and `webhook`."""
