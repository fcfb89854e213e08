package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	reportResources = 100_000
	// reportTenant is the namespace whose own month is asked for.
	reportTenant = 7
	// reportPage is how many rows a report has in its status.
	reportPage = 500
)

// reportQuestion is one that everybody is asked: what each deployment held, window by window.
type reportQuestion struct {
	name string
	size timeline.Size
	// windows is the databases' table of the windows.
	windows string
	// tenant tells that one namespace alone is asked for.
	tenant bool
	// most is how long our answer may take, in milliseconds; 0: no goal.
	most float64
}

var reportQuestions = []reportQuestion{
	{name: "one window", size: timeline.None, windows: "whole"},
	{name: "by hour", size: timeline.Hour, windows: "hours", most: 100},
	{name: "by day in Europe/Berlin", size: timeline.Day, windows: "days"},
	{name: "a tenant's, by day in Europe/Berlin", size: timeline.Day, windows: "days", tenant: true, most: 2},
}

// benchmarkReport asks the timeline and two databases the same questions about the same month. The databases have it
// as rows of a resource-hour, and DuckDB also as the segments that we have. PostgreSQL has a tenth of the resources: all
// of them are 223 million rows.
func benchmarkReport(ctx context.Context, s *settings) (_ []Figure, err error) {
	resources := reportResources
	if s.quick {
		resources /= 10
	}
	folder, err := os.MkdirTemp("", "bench-report-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	whole, tenth := newHoldings(resources), newHoldings(resources/10)
	duck, err := newDuckDB(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, duck.stop()) }()
	postgres, err := newPostgreSQL(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, postgres.stop()) }()
	var figures []Figure
	for _, against := range []struct {
		*database
		holdings
		ratio     float64 // that ours is to take of the database's time
		statement func(reportQuestion) string
		of        string
	}{
		{duck, whole, 0.01, ofHourlyRows, "DuckDB on the hourly rows"},
		{duck, whole, 0.01, ofSegments, "DuckDB on the segments"},
		{postgres, tenth, 0.001, ofHourlyRows, "PostgreSQL on the hourly rows"},
	} {
		if err := against.load(ctx, s, folder, against.holdings); err != nil {
			return nil, fmt.Errorf("%s: %w", against.of, err)
		}
		line := against.timeline()
		for _, q := range reportQuestions {
			f, err := compareReport(ctx, s, line, against.database, q, against.statement(q))
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", against.of, q.name, err)
			}
			f.Work = fmt.Sprintf("a month of %s resources x 3 dimensions, %s segments: %s", quantity(float64(len(against.holdings)/3)), quantity(float64(3*len(against.holdings))), q.name)
			f = f.against(against.of).ratioAtMost(against.ratio)
			if q.most > 0 && len(against.holdings) == len(whole) {
				f = f.atMost(q.most)
			}
			s.tell.say("%s, %s: %s ms; ours %s ms", against.of, q.name, quantity(f.Peer), quantity(f.Ours))
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// compareReport sees to it that both say the same, row by row, and then has them say it in turns.
func compareReport(ctx context.Context, s *settings, line *timeline.Snapshot, d *database, q reportQuestion, statement string) (Figure, error) {
	rows, err := equalAnswers(ctx, s, line, d, q, statement)
	if err != nil {
		return Figure{}, err
	}
	var ours, theirs []float64
	for range s.rounds {
		runtime.GC()
		start := time.Now()
		if _, err := ask(line, q); err != nil {
			return Figure{}, err
		}
		ours = append(ours, milliseconds(time.Since(start)))
		took, err := d.time(ctx, s, statement)
		if err != nil {
			return Figure{}, err
		}
		theirs = append(theirs, milliseconds(took))
	}
	f := newFigure("", "milliseconds", ours, theirs)
	f.Notes = map[string]float64{"rows": float64(rows)}
	return f, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ask makes a report: everything added up, and the rows that its status shows.
func ask(line *timeline.Snapshot, q reportQuestion) (*timeline.Tally, error) {
	query := timeline.Query{
		Window: reportMonth, Size: q.size, Zone: berlin, GroupBy: []timeline.Key{timeline.Namespace, timeline.Deployment},
	}
	if q.tenant {
		query.Namespaces = []timeline.NamespaceRef{{Name: tenantName(reportTenant)}}
	}
	tally, err := timeline.NewTally(query)
	if err == nil {
		err = tally.Advance(line, line.Sealed())
	}
	if err == nil {
		_, err = tally.Page("", reportPage)
	}
	return tally, err
}

// answer is a row of what both say.
type answer struct {
	began                 int64
	deployment, dimension int
}

// equalAnswers compares all rows that we have with all rows that the database has, and returns how many there are.
func equalAnswers(ctx context.Context, s *settings, line *timeline.Snapshot, d *database, q reportQuestion, statement string) (int, error) {
	defer s.tell.during("comparing the answers, "+q.name, nil)()
	tally, err := ask(line, q)
	if err != nil {
		return 0, err
	}
	page, err := tally.Page("", timeline.MaxCells)
	if err != nil {
		return 0, err
	}
	ours := make(map[answer]usage.Amount, len(page.Rows))
	for _, row := range page.Rows {
		at := answer{began: row.Window.Start}
		for i, d := range holdingDimensions {
			if d.Name == row.Name {
				at.dimension = i
			}
		}
		for _, value := range row.Group {
			if value.Key == string(timeline.Deployment) {
				if at.deployment, err = strconv.Atoi(strings.TrimPrefix(value.Value, deploymentPrefix)); err != nil {
					return 0, err
				}
			}
		}
		ours[at] = row.Amount
	}
	count := 0
	err = d.rows(ctx, statement, func(at answer, sum string) error {
		count++
		amount, err := usage.ParseAmount(sum)
		if err == nil && amount != ours[at] {
			err = fmt.Errorf("%+v: we say %s, and the database %s", at, ours[at], amount)
		}
		return err
	})
	if err == nil && (count != len(ours) || count != len(page.Rows)) {
		err = fmt.Errorf("we have %d rows, and the database %d", len(page.Rows), count)
	}
	return count, err
}

// holding is what a resource holds of a dimension in the month: it changes twice.
type holding struct {
	resource, dimension int
	changed, again      int64 // when, in seconds since the epoch
	levels              [3]int64
}

type holdings []holding

const (
	deploymentPrefix       = "app-"
	resourcesPerDeployment = 100
)

func deploymentNumber(resource int) int { return resource / resourcesPerDeployment }

func tenantNumber(resource int) int {
	return resource / resourcesPerDeployment / deploymentsPerNamespace
}

func tenantName(number int) string { return "tenant-" + strconv.Itoa(number) }

var (
	holdingDimensions = []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "storage", Unit: usage.Byte}}
	// holdingLevels are what the least of a dimension is, in base units.
	holdingLevels = []int64{500, 1 << 30, 10 << 30}
	berlin        = mustLoad("Europe/Berlin")
	// reportMonth has a day of 23 hours.
	reportMonth = timeline.Period(time.Date(2026, 3, 15, 0, 0, 0, 0, berlin).Unix(), timeline.Month, 0, berlin)
)

func mustLoad(zone string) *time.Location {
	location, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	return location
}

func newHoldings(resources int) holdings {
	random := rand.New(rand.NewPCG(ledgerSeed, 4))
	month := reportMonth.Seconds()
	all := make(holdings, 0, 3*resources)
	for resource := range resources {
		for dimension, least := range holdingLevels {
			h := holding{resource: resource, dimension: dimension}
			h.changed = reportMonth.Start + 1 + random.Int64N(month-2)
			h.again = h.changed + 1 + random.Int64N(reportMonth.End-h.changed-1)
			for i := range h.levels {
				h.levels[i] = least * (1 + (random.Int64N(8)+int64(i))%16)
			}
			all = append(all, h)
		}
	}
	return all
}

// timeline is one that has the month, sealed.
func (all holdings) timeline() *timeline.Snapshot { return all.timelineOf(tenantNumber).Snapshot() }

// timelineOf is the same, where each resource is a tenant's.
func (all holdings) timelineOf(number func(resource int) int) *timeline.Timeline {
	commit := timeline.Commit{
		Sealed: []usage.Window{reportMonth},
		Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: reportMonth.Start, Dimensions: holdingDimensions}},
	}
	for i := range all {
		h := &all[i]
		object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: fmt.Sprint("vm-", h.resource), UID: fmt.Sprintf("%08x-5a2e-4d7b-b1c9-000000000000", h.resource)}
		tenant := tenantName(number(h.resource))
		subject := &usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object,
			Account: usage.Account{Namespace: tenant, NamespaceUID: tenant, Deployment: deploymentPrefix + strconv.Itoa(deploymentNumber(h.resource))},
		}
		times := [...]int64{reportMonth.Start, h.changed, h.again}
		for n, level := range h.levels {
			change := usage.Change{Segment: usage.Segment{
				Meter: "vm", Subject: subject, Dimension: holdingDimensions[h.dimension], Level: level,
				Start: usage.Boundary{At: times[n], Evidence: usage.Observed},
			}}
			if n+1 < len(times) {
				change.End = usage.Boundary{At: times[n+1], Evidence: usage.Observed}
			}
			commit.Changes = append(commit.Changes, change)
		}
	}
	line := timeline.New()
	line.Begin()
	line.Take(commit)
	line.Publish()
	return line
}
