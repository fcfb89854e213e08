package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// database is one that is asked in SQL. Both are given the same statements.
type database struct {
	*sql.DB
	stop func() error
	// settle is what there is to do once everything is loaded.
	settle []string
}

// newPostgreSQL starts a server of its own, with as much memory as all of its data takes.
func newPostgreSQL(ctx context.Context, folder string) (_ *database, err error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(folder, "postgresql")
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	// The server refuses to run as root, and has to get at what it is to read.
	account := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		const nobody = 65534
		account.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := errors.Join(os.Chmod(folder, 0o755), os.Chown(home, nobody, nobody)); err != nil {
			return nil, err
		}
	}
	run := func(program string, args ...string) error {
		command := exec.CommandContext(ctx, filepath.Join(programs, program), args...)
		command.SysProcAttr, command.Dir = account, home
		// Not into a pipe, which the server would keep open.
		log, err := os.OpenFile(filepath.Join(folder, program+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer log.Close()
		command.Stdout, command.Stderr = log, log
		if err := command.Run(); err != nil {
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s: %w:\n%s", program, err, said)
		}
		return nil
	}
	data := filepath.Join(home, "data")
	if err := run("initdb", "--pgdata="+data, "--username=bench", "--auth=trust", "--no-sync"); err != nil {
		return nil, err
	}
	options := []string{
		"-c listen_addresses=''", "-c unix_socket_directories=" + home, "-c shared_buffers=4GB", "-c work_mem=512MB",
		"-c maintenance_work_mem=1GB", "-c max_wal_size=16GB",
	}
	if err := run("pg_ctl", "--pgdata="+data, "--wait", "--log="+filepath.Join(home, "log"), "--options="+strings.Join(options, " "), "start"); err != nil {
		return nil, err
	}
	d := &database{settle: []string{
		"CREATE INDEX ON hourly (hour)", "CREATE INDEX ON hourly (namespace, hour)", "VACUUM ANALYZE hourly", "CHECKPOINT",
	}}
	d.stop = func() error { return run("pg_ctl", "--pgdata="+data, "--mode=immediate", "stop") }
	if d.DB, err = sql.Open("pgx", "host="+home+" user=bench dbname=postgres"); err == nil {
		err = d.PingContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// postgresPrograms is the folder with initdb and pg_ctl.
func postgresPrograms() (string, error) {
	if found, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(found), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) == 0 {
		err = errors.New("there is no initdb in PATH, nor in /usr/lib/postgresql/*/bin: install a PostgreSQL server, as by apt-get install postgresql")
	}
	if err != nil {
		return "", err
	}
	return filepath.Dir(slices.Max(found)), nil
}

// load makes the tables, unless they are there:
//
//	hours, days, whole (began, ends)  the windows, in seconds since the epoch; of an hour also its day
//	hourly (hour, resource, namespace, deployment, dimension, amount)  a row for each resource-hour and dimension
//	segments (resource, namespace, deployment, dimension, level, since, until)
//
// Numbers stand for names: that is the best that can be done for a database.
func (d *database) load(ctx context.Context, s *settings, folder string, all holdings) error {
	if _, err := d.ExecContext(ctx, "SELECT 1 FROM hourly LIMIT 1"); err == nil {
		return nil
	}
	defer s.tell.during("loading "+quantity(float64(len(all)))+" resources' dimensions", nil)()
	file := filepath.Join(folder, fmt.Sprintf("held-%d.csv", len(all)))
	if err := all.save(file); err != nil {
		return err
	}
	statements := []string{
		"CREATE TABLE hours (began INTEGER, ends INTEGER, day INTEGER)",
		"CREATE TABLE days (began INTEGER, ends INTEGER)",
		fmt.Sprintf("CREATE TABLE whole AS SELECT CAST(%d AS INTEGER) AS began, CAST(%d AS INTEGER) AS ends", reportMonth.Start, reportMonth.End),
	}
	var hours, days []string
	for at := reportMonth.Start; at < reportMonth.End; {
		day := timeline.Period(at, timeline.Day, 0, berlin)
		days = append(days, fmt.Sprintf("(%d, %d)", day.Start, day.End))
		for ; at < day.End; at += 3600 {
			hours = append(hours, fmt.Sprintf("(%d, %d, %d)", at, at+3600, day.Start))
		}
	}
	statements = append(statements,
		"INSERT INTO hours VALUES "+strings.Join(hours, ", "),
		"INSERT INTO days VALUES "+strings.Join(days, ", "),
		"CREATE TABLE held (resource INTEGER, namespace INTEGER, deployment INTEGER, dimension INTEGER, changed INTEGER, again INTEGER, first BIGINT, second BIGINT, third BIGINT)",
		"COPY held FROM '"+file+"' (FORMAT csv)",
		`CREATE TABLE segments AS
			SELECT resource, namespace, deployment, dimension, first AS level, whole.began AS since, changed AS until FROM held, whole
			UNION ALL SELECT resource, namespace, deployment, dimension, second, changed, again FROM held
			UNION ALL SELECT resource, namespace, deployment, dimension, third, again, whole.ends FROM held, whole`,
		`CREATE TABLE hourly AS
			SELECT began AS hour, resource, namespace, deployment, dimension,
				first * GREATEST(0, LEAST(changed, ends) - began)
				+ second * GREATEST(0, LEAST(again, ends) - GREATEST(changed, began))
				+ third * GREATEST(0, ends - GREATEST(again, began)) AS amount
			FROM held CROSS JOIN hours`,
	)
	for _, statement := range append(statements, d.settle...) {
		if _, err := d.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// save writes the rows of the table held.
func (all holdings) save(path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffer := bufio.NewWriter(file)
	rows := csv.NewWriter(buffer)
	for i := range all {
		h := &all[i]
		var row []string
		for _, number := range []int64{
			int64(h.resource), int64(tenantNumber(h.resource)), int64(deploymentNumber(h.resource)), int64(h.dimension),
			h.changed, h.again, h.levels[0], h.levels[1], h.levels[2],
		} {
			row = append(row, strconv.FormatInt(number, 10))
		}
		if err := rows.Write(row); err != nil {
			return err
		}
	}
	rows.Flush()
	return errors.Join(rows.Error(), buffer.Flush())
}

// ofHourlyRows is the question to the table of resource-hours.
func ofHourlyRows(q reportQuestion) string {
	began, from := "hour", "hourly"
	switch q.windows {
	case "days":
		began, from = "day", "hourly JOIN hours ON hour = began"
	case "whole":
		began = strconv.FormatInt(reportMonth.Start, 10)
	}
	return fmt.Sprintf("SELECT %s AS w, deployment, dimension, SUM(amount) AS total FROM %s%s GROUP BY 1, 2, 3", began, from, q.where())
}

// ofSegments is the question to the table of segments.
func ofSegments(q reportQuestion) string {
	return fmt.Sprintf(`SELECT began AS w, deployment, dimension, SUM(level * (LEAST(until, ends) - GREATEST(since, began))) AS total
		FROM segments JOIN %s ON since < ends AND until > began%s GROUP BY 1, 2, 3`, q.windows, q.where())
}

func (q reportQuestion) where() string {
	if !q.tenant {
		return ""
	}
	return fmt.Sprintf(" WHERE namespace = %d", reportTenant)
}

// time is how long the statement takes. Its rows are added up, instead of read, which is in its favour.
func (d *database) time(ctx context.Context, s *settings, statement string) (time.Duration, error) {
	defer s.tell.during("asking the database", nil)()
	start := time.Now()
	var rows int64
	var total any
	err := d.QueryRowContext(ctx, "SELECT COUNT(*), SUM(total) FROM ("+statement+") AS answers").Scan(&rows, &total)
	return time.Since(start), err
}

// rows hands out what the statement answers, a sum as its digits.
func (d *database) rows(ctx context.Context, statement string, each func(answer, string) error) (err error) {
	found, err := d.QueryContext(ctx, "SELECT w, deployment, dimension, CAST(total AS VARCHAR) FROM ("+statement+") AS answers")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var at answer
		var sum string
		if err := found.Scan(&at.began, &at.deployment, &at.dimension, &sum); err != nil {
			return err
		}
		if err := each(at, sum); err != nil {
			return err
		}
	}
	return found.Err()
}
