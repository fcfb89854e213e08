//go:build cgo && !noduckdb

package main

import (
	"context"
	"database/sql"
	"path/filepath"

	_ "github.com/duckdb/duckdb-go/v2"
)

// newDuckDB is a database in a file, with two threads.
func newDuckDB(ctx context.Context, folder string) (*database, error) {
	db, err := sql.Open("duckdb", filepath.Join(folder, "duckdb")+"?threads=2")
	if err != nil {
		return nil, err
	}
	return &database{DB: db, stop: db.Close, settle: []string{"CHECKPOINT"}}, db.PingContext(ctx)
}
