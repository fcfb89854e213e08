// Package postgres starts a real PostgreSQL server for a test or a demo: on a socket of its own, in a folder that goes
// with it.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/apimachinery/pkg/util/wait"
)

// superuser is the role that may do everything on the server.
const superuser = "hub-tests"

// Server is a PostgreSQL server.
type Server struct {
	programs string // the folder with initdb and postgres
	dir      string // with the data, the socket and the log
	owner    *syscall.SysProcAttr
	process  *exec.Cmd
}

// Start starts a server, which ends with the test. It listens on a unix socket only.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Open starts a server that is not a test's. Close ends it; it is to be called however the process ends.
func Open(ctx context.Context) (*Server, error) {
	s, err := create()
	if err != nil {
		return nil, err
	}
	s.owner.Setsid = true // a terminal's Ctrl-C does not reach it, so that what uses it ends before it
	if err = s.initialize(ctx); err == nil {
		err = s.run(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Dir is the folder of the server, by which another process may Remove it.
func (s *Server) Dir() string { return s.dir }

// Remove ends the server of a folder that another process has opened, if it runs, and removes the folder.
func Remove(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "data")); dir == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	s := &Server{dir: dir, owner: &syscall.SysProcAttr{}}
	var err error
	if s.programs, err = find(); err != nil {
		return err
	}
	if err := s.own(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.data(), "postmaster.pid")); err == nil {
		command := exec.Command(filepath.Join(s.programs, "pg_ctl"), "stop", "--pgdata", s.data(), "--mode", "immediate", "--wait")
		command.SysProcAttr, command.Dir = s.owner, dir
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("stop PostgreSQL in %s: %w\n%s", dir, err, said)
		}
	}
	return os.RemoveAll(dir)
}

// Close ends the server, and removes what it has.
func (s *Server) Close() {
	s.kill()
	_ = os.RemoveAll(s.dir)
}

// create makes a server's folder. PostgreSQL refuses to run as root: then the folder, and the processes, are
// another user's.
func create() (*Server, error) {
	programs, err := find()
	if err != nil {
		return nil, err
	}
	// Not the test's own: a folder of root's that others may not enter, and too long a path for a socket.
	dir, err := os.MkdirTemp("", "usage-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, dir: dir, owner: &syscall.SysProcAttr{}}
	if err := s.own(); err != nil || s.owner.Credential == nil {
		return s, err
	}
	return s, os.Chown(dir, int(s.owner.Credential.Uid), int(s.owner.Credential.Gid))
}

// own has the server's processes be another user's, where this one is root.
func (s *Server) own() error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := unprivileged()
	if err == nil {
		s.owner.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return err
}

// find is the folder with the newest programs: Debian has one for each major version, and none in the PATH.
func find() (string, error) {
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(initdb string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
		return n
	}
	if len(folders) > 0 {
		newest := slices.MaxFunc(folders, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("%w: run hack/postgres.sh as root, or install PostgreSQL 15", err)
	}
	return filepath.Dir(initdb), nil
}

// unprivileged is a user that is not root: PostgreSQL's own, or the one that has no files.
func unprivileged() (uid, gid uint32, err error) {
	found, err := user.Lookup("postgres")
	if err != nil {
		found, err = user.Lookup("nobody")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("PostgreSQL does not run as root, and there is no user for it: %w", err)
	}
	u, errUser := strconv.ParseUint(found.Uid, 10, 32)
	g, errGroup := strconv.ParseUint(found.Gid, 10, 32)
	return uint32(u), uint32(g), errors.Join(errUser, errGroup)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) initialize(ctx context.Context) error {
	command := exec.CommandContext(ctx, filepath.Join(s.programs, "initdb"),
		"--pgdata", s.data(), "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	command.SysProcAttr, command.Dir = s.owner, s.dir
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, said)
	}
	return nil
}

// Run starts the server again where Kill ended it, and waits until it answers. It recovers what it committed.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) run(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(filepath.Join(s.programs, "postgres"), "-D", s.data(), "-k", s.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50", "-c", "shared_buffers=64MB")
	command.SysProcAttr, command.Dir = s.owner, s.dir
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return err
	}
	s.process = command
	var last error
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = s.ask(ctx, "SELECT 1")
		return last == nil, nil
	})
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("PostgreSQL does not answer: %w\n%s", errors.Join(err, last), bytes.TrimSpace(said))
	}
	return nil
}

// Kill ends the server at once, with all of its processes, as when its machine loses power. What it committed is in
// the operating system's memory, so that Run finds it.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.kill()
}

// kill ends the server's first process by SIGQUIT, which ends all others without a checkpoint: an immediate shutdown.
func (s *Server) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGQUIT)
	_ = s.process.Wait()
	s.process = nil
}

// Database creates an empty database, and returns where it is, in the words of libpq.
func (s *Server) Database(t testing.TB, name string) string {
	t.Helper()
	location, err := s.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// Create is Database without a test.
func (s *Server) Create(ctx context.Context, name string) (location string, err error) {
	err = s.ask(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	return s.location(name), err
}

func (s *Server) location(database string) string {
	return fmt.Sprintf("host=%s user=%s dbname=%s", s.dir, superuser, database)
}

// ask does a statement in the database that there always is.
func (s *Server) ask(ctx context.Context, statement string) error {
	connection, err := pgx.Connect(ctx, s.location("postgres"))
	if err != nil {
		return err
	}
	defer connection.Close(context.WithoutCancel(ctx))
	_, err = connection.Exec(ctx, statement)
	return err
}
