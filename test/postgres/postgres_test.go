package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/test/postgres"
)

// What was committed is there after the server was ended at once; what was not, is not.
func TestAServerThatIsEndedAtOnce(t *testing.T) {
	s := postgres.Start(t)
	location := s.Database(t, "books")
	connect := func() *pgx.Conn {
		connection, err := pgx.Connect(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close(context.Background()) })
		return connection
	}
	first := connect()
	for _, statement := range []string{"CREATE TABLE t (n bigint)", "INSERT INTO t VALUES (1)", "BEGIN", "INSERT INTO t VALUES (2)"} {
		if _, err := first.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill(t)
	if _, err := first.Exec(t.Context(), "COMMIT"); err == nil {
		t.Fatal("a server that has ended commits")
	}
	s.Run(t)
	var sum int64
	if err := connect().QueryRow(t.Context(), "SELECT sum(n)::bigint FROM t").Scan(&sum); err != nil {
		t.Fatal(err)
	}
	if sum != 1 {
		t.Errorf("the rows add up to %d, want 1", sum)
	}
}
