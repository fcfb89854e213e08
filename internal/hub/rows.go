package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// rowsAtOnce is how many rows one statement writes.
const rowsAtOnce = 4096

// rows are changes of segments with their subjects, each once.
type rows struct {
	subjects map[*usage.Subject]int // by where they are in known
	known    []subject
	changes  []usage.Change
}

// subject is one as columns, with the digest of these.
type subject struct {
	columns [16]string
	digest  [sha256.Size]byte
}

// rowsOf are the rows of changes.
func rowsOf(ctx context.Context, changes []usage.Change) (*rows, error) {
	r := &rows{subjects: map[*usage.Subject]int{}, changes: changes}
	places := map[[sha256.Size]byte]int{}
	for i := range changes {
		of := changes[i].Subject
		if _, known := r.subjects[of]; known {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := subjectOf(of)
		if err != nil {
			return nil, err
		}
		place, known := places[s.digest]
		if !known {
			place = len(r.known)
			places[s.digest] = place
			r.known = append(r.known, s)
		}
		r.subjects[of] = place
	}
	return r, nil
}

// subjectOf is a subject as columns.
func subjectOf(of *usage.Subject) (subject, error) {
	attributes, err := journal.AttributesText(of.Attributes)
	if err != nil {
		return subject{}, fmt.Errorf("the attributes of a subject: %w", err)
	}
	s := subject{}
	for i, name := range namesOf(of) {
		s.columns[i] = journal.Text(name)
	}
	s.columns[15] = attributes
	var text []byte
	for _, column := range s.columns {
		text = append(binary.AppendUvarint(text, uint64(len(column))), column...)
	}
	s.digest = sha256.Sum256(text)
	return s, nil
}

// usage is the subject of columns.
func (s *subject) usage() (*usage.Subject, error) {
	var raw [15]string
	for i := range raw {
		var err error
		if raw[i], err = journal.Untext(s.columns[i]); err != nil {
			return nil, err
		}
	}
	attributes, err := journal.ParseAttributes(s.columns[15])
	return &usage.Subject{
		Account:      usage.Account{Namespace: raw[1], NamespaceUID: raw[2], Deployment: raw[3]},
		ResourceType: raw[0],
		Resource:     usage.Object{APIVersion: raw[4], Kind: raw[5], Name: raw[6], UID: raw[7]},
		Instance:     usage.Object{APIVersion: raw[8], Kind: raw[9], Name: raw[10], UID: raw[11]},
		Container:    raw[12], Region: raw[13], Bundle: raw[14], Attributes: attributes,
	}, err
}

// subjectColumns are the names of a subject's columns.
const subjectColumns = `resource_type, namespace, namespace_uid, deployment,
	resource_api_version, resource_kind, resource_name, resource_uid,
	instance_api_version, instance_kind, instance_name, instance_uid,
	container, region, bundle, attributes`

// writeRows writes what the block says. next is the number of the next subject.
func (a *appending) writeRows(ctx context.Context, next int64) (int64, error) {
	rows, err := rowsOf(ctx, a.said.Changes)
	if err != nil {
		return next, err
	}
	numbers, next, err := a.number(ctx, rows.known, next)
	if err != nil {
		return next, err
	}
	for first := 0; first < len(rows.changes); first += rowsAtOnce {
		if err := a.writeSegments(ctx, rows, first, numbers); err != nil {
			return next, err
		}
	}
	if err := a.writeSeals(ctx); err != nil {
		return next, err
	}
	return next, a.writeCoverage(ctx)
}

// number gives the block's subjects their numbers in the cluster, and writes those that are new.
func (a *appending) number(ctx context.Context, known []subject, next int64) ([]int64, int64, error) {
	if len(known) == 0 {
		return nil, next, nil
	}
	digests := make([][]byte, len(known))
	for i := range known {
		digests[i] = known[i].digest[:]
	}
	there := map[[sha256.Size]byte]int64{}
	// Planned each time: a plan that was kept from when the table was small reads all of it.
	found, err := a.tx.Query(ctx, "SELECT digest, subject FROM subjects WHERE cluster = $1 AND digest = ANY($2)",
		pgx.QueryExecModeCacheDescribe, a.cluster, digests)
	if err != nil {
		return nil, next, err
	}
	var digest []byte
	var number int64
	_, err = pgx.ForEachRow(found, []any{&digest, &number}, func() error { there[[sha256.Size]byte(digest)] = number; return nil })
	if err != nil {
		return nil, next, err
	}
	numbers := make([]int64, len(known))
	fresh := columns{}
	for i := range known {
		number, ok := there[known[i].digest]
		if !ok {
			number = next
			next++
			fresh.subject(number, &known[i])
		}
		numbers[i] = number
	}
	if len(fresh.numbers) == 0 {
		return numbers, next, nil
	}
	arguments := []any{a.cluster, fresh.numbers, fresh.digests}
	for i := range fresh.texts {
		arguments = append(arguments, fresh.texts[i])
	}
	return numbers, next, a.exec(ctx, "INSERT INTO subjects (cluster, subject, digest, "+subjectColumns+
		") SELECT $1::uuid, n.* FROM unnest($2::bigint[], $3::bytea[]"+strings.Join(placeholders(4, 16, "text[]"), "")+") AS n", arguments...)
}

// columns are rows of subjects, column by column.
type columns struct {
	numbers []int64
	digests [][]byte
	texts   [16][]string
}

func (c *columns) subject(number int64, s *subject) {
	c.numbers, c.digests = append(c.numbers, number), append(c.digests, s.digest[:])
	for i, column := range s.columns {
		c.texts[i] = append(c.texts[i], column)
	}
}

// placeholders are as many as that, from the first on, each after a comma.
func placeholders(first, count int, kind string) []string {
	var out []string
	for i := range count {
		out = append(out, fmt.Sprintf(", $%d::%s", first+i, kind))
	}
	return out
}

// writeSegments writes some of the rows, from the first on.
func (a *appending) writeSegments(ctx context.Context, rows *rows, first int, numbers []int64) error {
	changes := rows.changes[first:min(first+rowsAtOnce, len(rows.changes))]
	integers, texts := [8][]int64{}, [6][]string{}
	for i := range changes {
		c := &changes[i]
		for column, value := range [8]int64{
			int64(first + i), c.Corrects, numbers[rows.subjects[c.Subject]], c.Level,
			c.Start.At, int64(c.Start.Slack), c.End.At, int64(c.End.Slack),
		} {
			integers[column] = append(integers[column], value)
		}
		for column, value := range [6]string{
			c.Kind.String(), journal.Text(c.Meter), journal.Text(c.Dimension.Name), journal.Text(string(c.Dimension.Unit)),
			c.Start.Evidence.String(), c.End.Evidence.String(),
		} {
			texts[column] = append(texts[column], value)
		}
	}
	arguments := []any{a.cluster, a.block.To}
	for _, column := range integers {
		arguments = append(arguments, column)
	}
	for _, column := range texts {
		arguments = append(arguments, column)
	}
	list := strings.TrimPrefix(strings.Join(append(placeholders(3, 8, "bigint[]"), placeholders(11, 6, "text[]")...), ""), ", ")
	return a.exec(ctx, `INSERT INTO segments (cluster, sequence, ordinal, corrects, subject, level, starts, start_slack, ends, end_slack,
		kind, meter, dimension, unit, start_evidence, end_evidence) SELECT $1::uuid, $2::bigint, n.* FROM unnest(`+list+") AS n", arguments...)
}

func (a *appending) writeSeals(ctx context.Context) error {
	integers, digests, partial := [5][]int64{}, [][]byte{}, []bool{}
	for i, seal := range a.said.Seals {
		for column, value := range [5]int64{int64(i), seal.Interval.Start, seal.Interval.End, seal.Limits.Bytes, seal.Limits.Deployments} {
			integers[column] = append(integers[column], value)
		}
		digests, partial = append(digests, seal.Digest[:]), append(partial, seal.Partial)
	}
	if len(digests) == 0 {
		return nil
	}
	return a.exec(ctx, `INSERT INTO seals (cluster, sequence, ordinal, starts, ends, limit_bytes, limit_deployments, digest, partial)
		SELECT $1::uuid, $2::bigint, n.* FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::boolean[]) AS n`,
		a.cluster, a.block.To, integers[0], integers[1], integers[2], integers[3], integers[4], digests, partial)
}

func (a *appending) writeCoverage(ctx context.Context) error {
	integers, meters, words := [3][]int64{}, []string{}, []string{}
	for i, stretch := range a.said.Coverage {
		for column, value := range [3]int64{int64(i), stretch.Start, stretch.End} {
			integers[column] = append(integers[column], value)
		}
		meters, words = append(meters, journal.Text(stretch.Meter)), append(words, stretch.Coverage.String())
	}
	if len(meters) == 0 {
		return nil
	}
	return a.exec(ctx, `INSERT INTO coverage (cluster, sequence, ordinal, starts, ends, meter, coverage)
		SELECT $1::uuid, $2::bigint, n.* FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) AS n`,
		a.cluster, a.block.To, integers[0], integers[1], integers[2], meters, words)
}
