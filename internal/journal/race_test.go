//go:build race

package journal_test

import "flag"

// With the race detector on, sync.Pool drops what it is given at random, and each
// block makes a zstd encoder of its own: a draw takes fifty times as long. A tenth of
// them is run then; make test runs all of them without it.
func init() {
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
}
