//! Prints the reference of all metrics: what `make fix` writes to `docs/reference/metrics.md`.

fn main() {
    print!("{}", bellwether_common::metrics::reference::markdown());
}
