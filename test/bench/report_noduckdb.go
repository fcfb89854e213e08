//go:build !cgo || noduckdb

package main

import (
	"context"
	"errors"
)

// newDuckDB says what is missing: DuckDB is a C++ library.
func newDuckDB(context.Context, string) (*database, error) {
	return nil, errors.New("DuckDB needs cgo and a C++ compiler, as by apt-get install g++; --only names the other benchmarks")
}
