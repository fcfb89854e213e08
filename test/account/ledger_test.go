package account

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// recordsKey is where etcd has UsageRecords.
const recordsKey = "metering.usage-operator.dev/usagerecords/"

// part is what the ledger says of a stream for some time.
type part struct {
	held
	from, to         int64 // seconds since the epoch
	earliest, latest int64 // what the bounds leave open
	sign             int   // -1: it is taken off again
	said             string
}

func (p part) String() string {
	text := fmt.Sprintf("    %s [%s, %s) %s", p.said, clockTime(p.from), clockTime(p.to), p.held)
	if p.earliest != p.from || p.latest != p.to {
		text += fmt.Sprintf(", within [%s, %s)", clockTime(p.earliest), clockTime(p.latest))
	}
	return text
}

func clockTime(second int64) string { return time.Unix(second, 0).UTC().Format("15:04:05") }

// place is one account's interval.
type place struct {
	namespaceUID, deployment string
	start                    int64
}

// span of time that the journal says was not seen as it happened.
type stretch struct {
	from, to int64
	coverage v1alpha1.BlockCoverage
}

// ledger is what the operator says, where everybody can read it.
type ledger struct {
	parts    map[stream][]part
	accuracy map[place]v1alpha1.Accuracy
	coverage map[string][]stretch // by meter
	meters   map[stream]string
	sealed   int64 // until when
	records  int
	fixes    int // corrections
	wrong    []string
}

func (l *ledger) problem(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// readLedger reads the records that there have been, and the journal's corrections.
func readLedger(ctx context.Context, h *history, cluster client.Client) (*ledger, error) {
	l := &ledger{parts: map[stream][]part{}, accuracy: map[place]v1alpha1.Accuracy{}, coverage: map[string][]stretch{}, meters: map[stream]string{}}
	finals := map[string]*v1alpha1.UsageRecord{}
	for _, e := range h.events {
		if !strings.HasPrefix(e.key, recordsKey) || e.value == nil {
			continue
		}
		r := &v1alpha1.UsageRecord{}
		if err := json.Unmarshal(e.value, r); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%s of %s (%s) from %s, part %d", r.Spec.Deployment, r.Spec.Namespace, r.Spec.NamespaceUID, clockTime(r.Spec.StartTime.Unix()), r.Spec.Part.Index)
		before := finals[name]
		switch {
		case r.Status.Phase != v1alpha1.PhaseFinal:
			if before != nil && before.UID == r.UID {
				l.problem("record %s was Final, and is %s", name, r.Status.Phase)
			}
		case before == nil:
			finals[name] = r
			l.read(r)
		case before.Status.Digest != r.Status.Digest:
			l.problem("the Final record %s had the digest %s, and has %s", name, before.Status.Digest, r.Status.Digest)
		}
	}
	l.records = len(finals)
	return l, l.readBlocks(ctx, cluster)
}

// read takes in a record.
func (l *ledger) read(r *v1alpha1.UsageRecord) {
	key := place{r.Spec.NamespaceUID, r.Spec.Deployment, r.Spec.StartTime.Unix()}
	if l.accuracy[key] == "" || r.Status.Accuracy != v1alpha1.AccuracyExact {
		l.accuracy[key] = r.Status.Accuracy
	}
	for _, u := range r.Status.Usage {
		instance := u.Resource.UID
		if u.Instance != nil {
			instance = u.Instance.UID
		}
		attributes := map[string]string{}
		for name, value := range u.Attributes {
			attributes[name] = string(value)
		}
		for _, s := range u.Segments {
			p := part{
				held: held{
					namespace: r.Spec.Namespace, namespaceUID: r.Spec.NamespaceUID, deployment: r.Spec.Deployment,
					resource: u.Resource.UID, resourceType: u.ResourceType, facts: facts(u.Region, u.Bundle, attributes),
				},
				from: s.StartTime.Unix(), to: s.EndTime.Unix(), sign: 1,
				said: fmt.Sprintf("%s record, %s to %s:", r.Status.Accuracy, s.Evidence.Start, s.Evidence.End),
			}
			p.earliest, p.latest = p.from, p.to
			if s.StartEarliest != nil {
				p.earliest = s.StartEarliest.Unix()
			}
			if s.EndLatest != nil {
				p.latest = s.EndLatest.Unix()
			}
			if p.level = l.level(r, &s); p.level == 0 {
				continue
			}
			if r.Status.Accuracy == v1alpha1.AccuracyExact && (p.earliest != p.from || p.latest != p.to) {
				l.problem("record %s says Exact, and has bounds: %s", r.Name, p)
			}
			l.add(stream{instance, u.Container, s.Dimension}, p)
		}
	}
}

func (l *ledger) add(s stream, p part) { l.parts[s] = append(l.parts[s], p) }

// level is how much a segment held, in base units.
func (l *ledger) level(r *v1alpha1.UsageRecord, s *v1alpha1.Segment) int64 {
	seconds := s.EndTime.Unix() - s.StartTime.Unix()
	level, ok := new(big.Rat).SetString(s.Level)
	if !ok {
		l.problem("record %s has a level of %q", r.Name, s.Level)
		return 0
	}
	if !wholeUnits[s.Dimension] {
		level.Mul(level, big.NewRat(1000, 1))
	}
	exact, ok := new(big.Rat).SetString(s.Exact)
	if !ok || !level.IsInt() || new(big.Rat).Mul(level, big.NewRat(seconds, 1)).Cmp(exact) != 0 {
		l.problem("record %s: %s over %d s is not %s", r.Name, s.Level, seconds, s.Exact)
	}
	return level.Num().Int64()
}

// wholeUnits are the dimensions in bytes and bits per second. All others are in thousandths.
var wholeUnits = map[string]bool{"memory": true, "storage": true, "storage_retained": true, "snapshot_storage": true, "bandwidth": true}

// row is a row of a block's Parquet file, as far as it is read here.
type row struct {
	Kind          string     `parquet:"kind"`
	Corrects      *time.Time `parquet:"corrects,optional,timestamp(millisecond)"`
	Meter         string     `parquet:"meter"`
	ResourceType  string     `parquet:"resource_type"`
	Namespace     string     `parquet:"namespace"`
	NamespaceUID  string     `parquet:"namespace_uid"`
	Deployment    string     `parquet:"deployment"`
	ResourceUID   string     `parquet:"resource_uid"`
	InstanceUID   string     `parquet:"instance_uid"`
	Container     string     `parquet:"container"`
	Region        string     `parquet:"region"`
	Bundle        string     `parquet:"bundle"`
	Attributes    string     `parquet:"attributes,json"`
	Dimension     string     `parquet:"dimension"`
	Level         int64      `parquet:"level"`
	Start         time.Time  `parquet:"start,timestamp(millisecond)"`
	StartSlack    uint32     `parquet:"start_slack"`
	StartEvidence string     `parquet:"start_evidence"`
	End           *time.Time `parquet:"end,optional,timestamp(millisecond)"`
	EndSlack      uint32     `parquet:"end_slack"`
	EndEvidence   string     `parquet:"end_evidence"`
}

// sequences are those that a block has: its own, or those of the blocks that were merged into it.
func sequences(b *v1alpha1.UsageBlock) (from, to int64) {
	if c := b.Spec.Covers; c != nil {
		return c.From, c.To
	}
	return b.Spec.Sequence, b.Spec.Sequence
}

// readBlocks takes in the corrections, the coverage and the seals of the journal.
func (l *ledger) readBlocks(ctx context.Context, cluster client.Client) error {
	list := &v1alpha1.UsageBlockList{}
	if err := cluster.List(ctx, list, client.InNamespace(operatorNamespace)); err != nil {
		return err
	}
	covered := func(b *v1alpha1.UsageBlock) bool {
		from, to := sequences(b)
		return slices.ContainsFunc(list.Items, func(by v1alpha1.UsageBlock) bool {
			first, last := sequences(&by)
			return last-first > to-from && first <= from && to <= last
		})
	}
	for i := range list.Items {
		block := &list.Items[i]
		if covered(block) {
			continue
		}
		for _, s := range block.Spec.Coverage {
			l.coverage[s.Meter] = append(l.coverage[s.Meter], stretch{s.StartTime.Unix(), s.EndTime.Unix(), s.Coverage})
		}
		for _, s := range block.Spec.Sealed {
			l.sealed = max(l.sealed, s.EndTime.Unix())
		}
		if len(block.Spec.Segments) == 0 {
			continue
		}
		file, err := base64.StdEncoding.DecodeString(block.Spec.Segments)
		if err != nil {
			return fmt.Errorf("block %s: %w", block.Name, err)
		}
		rows, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return fmt.Errorf("block %s: %w", block.Name, err)
		}
		for i := range rows {
			l.correct(&rows[i])
		}
	}
	return nil
}

// correct takes in a row: of what is not sealed, only what meters it.
func (l *ledger) correct(r *row) {
	key := stream{r.InstanceUID, r.Container, r.Dimension}
	l.meters[key] = r.Meter
	if r.Kind != "Less" && r.Kind != "More" {
		return
	}
	attributes := map[string]string{}
	_ = json.Unmarshal([]byte(r.Attributes), &attributes)
	p := part{
		held: held{
			level: r.Level, namespace: r.Namespace, namespaceUID: r.NamespaceUID, deployment: r.Deployment,
			resource: r.ResourceUID, resourceType: r.ResourceType, facts: facts(r.Region, r.Bundle, attributes),
		},
		from: r.Start.Unix(), to: r.Start.Unix(), sign: 1, said: fmt.Sprintf("%s, %s to %s:", r.Kind, r.StartEvidence, r.EndEvidence),
	}
	if r.End != nil {
		p.to = r.End.Unix()
	}
	p.earliest, p.latest = p.from-int64(r.StartSlack), p.to+int64(r.EndSlack)
	if r.Kind == "Less" {
		p.sign = -1
	}
	l.fixes++
	l.add(key, p)
}

// at is what is said of the second: several things, or one that is taken off and was
// not there, are wrong.
func (l *ledger) at(s stream, second int64) (held, string) {
	sums := map[held]int{}
	for _, p := range l.parts[s] {
		if p.from <= second && second < p.to {
			sums[p.held] += p.sign
		}
	}
	var said held
	n := 0
	for what, sum := range sums {
		if sum < 0 {
			return held{}, fmt.Sprintf("%s is taken off, and was not there", what)
		}
		if n += sum; sum > 0 {
			said = what
		}
	}
	if n > 1 {
		return held{}, fmt.Sprintf("%d things are held at once, one is %s", n, said)
	}
	return said, ""
}

// exact tells whether the record of an account's interval that has the second says so.
func (l *ledger) exact(h held, second int64) bool {
	return l.accuracy[place{h.namespaceUID, h.deployment, second / interval * interval}] == v1alpha1.AccuracyExact
}
