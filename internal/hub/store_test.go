package hub_test

import (
	"testing"

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
