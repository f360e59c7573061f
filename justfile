# The commands of a day's work. `just` alone lists them; each is one line that can be typed as well.

_default:
    @just --list

# Everything that must hold before a change goes in.
ci:
    .ci/run

# Form and lints.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# What the dependencies bring in: licences, sources, crates that are refused, known holes.
deny:
    cargo deny check

# The tests whose names hold these words; without any, all of them. What they need is installed.
test *words:
    tests/run.sh {{words}}

# The tests that take longer than half an hour together.
slow *words:
    tests/run.sh slow {{words}}

# One fuzz target, for so many seconds.
fuzz target seconds="60":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# The benches of the transport.
bench:
    cargo bench --bench transport

# The documentation of the source, as a book.
doc:
    cargo doc --no-deps --document-private-items --open
