package hub_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// Another program's migrations in the same database are not taken for the hub's own.
func TestAnotherProgramsMigrations(t *testing.T) {
	s := open(t, postgres.Start(t).Database(t, "shared"))
	for _, statement := range []string{
		"CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now())",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true)",
	} {
		if err := s.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ready(t.Context()); err == nil {
		t.Error("it is ready, and has no table")
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	enrolled(t, s)
}

// There are connections for as many appends as there are at once, and some for all else,
// unless the location says how many.
func TestConnections(t *testing.T) {
	for location, want := range map[string]int{
		"host=/nowhere dbname=hub": 20, "postgres://hub@localhost/hub": 20,
		"host=/nowhere dbname=hub pool_max_conns=7": 7, "postgres://hub@localhost/hub?pool_max_conns=7": 7,
	} {
		s, err := hub.OpenFor(t.Context(), location, clock, 16)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if got := s.Connections(); got != want {
			t.Errorf("%s: %d connections, want %d", location, got, want)
		}
	}
	if _, err := hub.OpenFor(t.Context(), "host=/nowhere pool_max_conns=none", clock, 16); err == nil || !strings.Contains(err.Error(), "location") {
		t.Errorf("a location that cannot be read: %v", err)
	}
}

// An append does not wait for ever for another one of its cluster, and can be done again.
func TestAnAppendDoesNotWaitForEver(t *testing.T) {
	s, location := database(t, postgres.Start(t))
	cluster := enrolled(t, s)
	a := newSource(t, cluster, "a", &blocks{}, nil)
	a.commit(t, holds("a", 0, 2))
	other, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) })
	for _, statement := range []string{"BEGIN", "SELECT 1 FROM clusters FOR UPDATE"} {
		if _, err := other.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	s.LockPatience(10 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = s.Append(ctx, cluster, a.all()[0])
	if said, ok := errors.AsType[*pgconn.PgError](err); !ok || said.Code != "55P03" { // lock_not_available
		t.Errorf("an append while another one is at work: %v", err)
	}
	if _, err := other.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	send(t, s, cluster, a.all()[0])
}
