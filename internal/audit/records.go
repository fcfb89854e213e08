package audit

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Published is a UsageRecord as the API server has it.
type Published struct {
	Metadata struct {
		Namespace   string            `json:"namespace"`
		Name        string            `json:"name"`
		Labels      map[string]string `json:"labels,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	} `json:"metadata"`
	Spec   json.RawMessage `json:"spec"`
	Status json.RawMessage `json:"status"`
}

// identity is what has to be known of a record to look for it.
type identity struct {
	record.Key
	part  int
	final bool
}

func (p *Published) identity() (identity, error) {
	var spec v1alpha1.UsageRecordSpec
	var status struct {
		Phase v1alpha1.Phase `json:"phase"`
	}
	if err := json.Unmarshal(p.Spec, &spec); err != nil {
		return identity{}, err
	}
	if err := json.Unmarshal(p.Status, &status); err != nil {
		return identity{}, err
	}
	return identity{
		Key: record.Key{
			Account:  usage.Account{Namespace: spec.Namespace, NamespaceUID: spec.NamespaceUID, Deployment: spec.Deployment},
			Interval: usage.Window{Start: spec.StartTime.Unix(), End: spec.EndTime.Unix()},
		},
		part:  int(spec.Part.Index),
		final: status.Phase != v1alpha1.PhaseOpen,
	}, nil
}

// summary is what the record says in one line; "" where that cannot be read.
func (p *Published) summary() string {
	var status struct {
		Summary string `json:"summary"`
	}
	if json.Unmarshal(p.Status, &status) != nil {
		return ""
	}
	return status.Summary
}

// publishing is how many seconds after a seal all its records are Final, even
// where there are very many.
const publishing = 60 * 60

// verifyRecords recomputes every Final record that is published. An Open one is
// a view of what is not sealed, or has not been published anew since: there is
// nothing to compare it with.
func (a *auditor) verifyRecords(ctx context.Context) error {
	expected := &projection{auditor: a}
	var later []*Published // than what was known of the journal
	err := a.Records.List(ctx, func(p *Published) error {
		id, err := p.identity()
		switch {
		case err == nil && !id.final && !a.overdue(id.Interval):
			a.report.Open++
		case err == nil && id.Interval.Start >= a.sealsDone:
			later = append(later, p)
		case err != nil || a.inRange(id.Interval.Start, id.Interval.End):
			a.verifyRecord(expected, p)
		}
		a.Progress("recomputing records", a.report.Records, 0)
		return nil
	})
	if err != nil || len(later) == 0 {
		return err
	}
	// What was sealed meanwhile. The journal has it: it is committed first.
	if err := a.readJournal(ctx); err != nil {
		return err
	}
	a.verifySeals()
	expected = &projection{auditor: a}
	for _, p := range later {
		if id, _ := p.identity(); a.inRange(id.Interval.Start, id.Interval.End) {
			a.verifyRecord(expected, p)
		}
	}
	return nil
}

// overdue tells whether the interval was sealed so long ago that none of its
// records can be Open any more.
func (a *auditor) overdue(interval usage.Window) bool {
	committed, sealed := a.sealedAt[interval.Start]
	if of, known := a.sealed[interval.Start]; !sealed && known && of == interval {
		// It is in the archive: it was sealed before any entry that said so.
		for _, said := range a.archived {
			if said.until >= interval.End && (!sealed || said.at < committed) {
				committed, sealed = said.at, true
			}
		}
	}
	return sealed && a.Clock.Now().Unix()-committed > publishing
}

func (a *auditor) verifyRecord(expected *projection, p *Published) {
	a.report.Records++
	if id, err := p.identity(); err == nil {
		if want := expected.record(id, p.Metadata.Namespace); want != nil && want.Name == p.Metadata.Name {
			if d, same := compare(want, p); !same {
				a.report.differ(d)
			}
			return
		}
	}
	if a.report.First != nil { // the others are counted
		a.report.differ(Difference{In: InRecord})
		return
	}
	a.report.differ(a.explain(expected, p))
}

// explain says what is wrong with a record that does not say of itself which one
// it is: its name tells what it should say.
func (a *auditor) explain(expected *projection, p *Published) Difference {
	accounts := a.held.accounts()
	for _, account := range accounts {
		accounts = append(accounts, account.Others())
	}
	slices.SortFunc(accounts, usage.CompareAccounts)
	accounts = slices.Compact(accounts)
	for _, seal := range a.state.Seals {
		for _, account := range accounts {
			id := identity{Key: record.Key{Account: account, Interval: seal.Interval}}
			if !mayHave(id.Key, p, a.Namespace) {
				continue
			}
			for _, want := range expected.records(id, p.Metadata.Namespace) {
				if want.Name != p.Metadata.Name {
					continue
				}
				if d, same := compare(want, p); !same {
					return d
				}
			}
		}
	}
	return Difference{
		In: InRecord, Name: p.Metadata.Namespace + "/" + p.Metadata.Name,
		Detail: "no sealed interval has usage that explains it",
	}
}

// mayHave tells whether the name can be that of one of the key's records.
func mayHave(key record.Key, p *Published, operator string) bool {
	at := p.Metadata.Namespace
	if at != key.Account.Namespace && at != operator {
		return false
	}
	first := record.Name(record.Input{Key: key, Namespace: at}, 0)
	return len(p.Metadata.Name) >= len(first) && p.Metadata.Name[:len(first)] == first
}

// projection is what records should say. It keeps those of the key that was
// asked for last: their parts are asked for one after the other.
type projection struct {
	*auditor
	key       record.Key
	namespace string
	last      []*v1alpha1.UsageRecord
	plans     map[usage.Window]*record.Plan
}

// record is the one that should be in the namespace; nil: there should be none.
func (e *projection) record(id identity, namespace string) *v1alpha1.UsageRecord {
	if namespace != id.Account.Namespace && namespace != e.Namespace {
		return nil
	}
	if e.sealed[id.Interval.Start] != id.Interval {
		return nil
	}
	records := e.records(id, namespace)
	if id.part < 0 || id.part >= len(records) {
		return nil
	}
	return records[id.part]
}

func (e *projection) records(id identity, namespace string) []*v1alpha1.UsageRecord {
	if e.last == nil || e.key != id.Key || e.namespace != namespace {
		e.key, e.namespace = id.Key, namespace
		in := record.Input{Key: id.Key, Namespace: namespace, Final: true, Coverage: e.coverage.Cut(id.Interval)}
		e.plan(id.Interval).Fill(&in, func(account usage.Account) []usage.Segment { return e.held.of(account, id.Interval) })
		e.last = record.For(in)
	}
	return e.last
}

// plan is what the interval's records list less of, by the limits that it was sealed with.
func (e *projection) plan(interval usage.Window) *record.Plan {
	plan, known := e.plans[interval]
	if !known {
		limits := e.limits[interval.Start]
		plan = record.PlanOf(e.held.within(interval, limits), limits)
		if e.plans == nil {
			e.plans = map[usage.Window]*record.Plan{}
		}
		e.plans[interval] = plan
	}
	return plan
}
