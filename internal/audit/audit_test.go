package audit_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestALedgerThatAddsUp(t *testing.T) {
	w := threeHours(t)
	report := w.verify(t)
	if !report.OK() {
		t.Fatalf("%s; %v", report.First, report.Differences)
	}
	if report.Blocks != 5 || report.Sequence != 5 || report.Intervals != 3 || report.Partial != 1 || report.Records != 8 || report.Open != 1 {
		t.Errorf("%+v", report)
	}
	if report.LastSeal != w.digest.String() || report.FirstInterval != "2026-11-21T18:00:00Z/2026-11-21T19:00:00Z" {
		t.Errorf("%+v", report)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil || !strings.Contains(text.String(), "All of it adds up.") {
		t.Errorf("%v\n%s", err, &text)
	}
	for line := range strings.Lines(text.String()) {
		if n := len(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// What an interval was sealed with says what its records list, and nothing else does.
func TestRecordsThatListLess(t *testing.T) {
	for name, c := range map[string]struct {
		limits usage.Limits
		detail string
	}{
		"what each resource used": {usage.Limits{Bytes: 6000}, `"detail":"Resources"`},
		"totals":                  {usage.Limits{Bytes: 1}, `"detail":"Totals"`},
		"deployments together":    {usage.Limits{Deployments: 1}, `"deployments":2`},
	} {
		t.Run(name, func(t *testing.T) {
			if report := threeHoursWithin(t, c.limits).verify(t); !report.OK() {
				t.Fatalf("%s; %+v", report.First, report)
			}
			more := newWorld(t)
			more.limits = c.limits
			more.append(t, hour0+10, usage.Window{}, held(subject("shop", "db", "db"), vcpu, 2000, 0, 900), held(subject("shop", "db", "db"), vcpu, 3000, 900, 0),
				held(subject("shop", "b", "b"), vcpu, 1, 0, 9), held(subject("shop", "a", "a"), vcpu, 1, 0, 8))
			more.append(t, hour0+hour+1, hours(0))
			more.publish(t, hours(0), true)
			if report := more.verify(t); !report.OK() || report.Records == 0 {
				t.Fatalf("%s; %+v", report.First, report)
			}
			reduced := -1
			for i, r := range more.records {
				if strings.Contains(string(r.Status), c.detail) {
					reduced = i
				}
			}
			if reduced < 0 {
				t.Fatalf("no record has %s: %s", c.detail, more.records[0].Status)
			}
			forged := more.copy()
			r := *forged.records[reduced]
			r.Status = []byte(strings.Replace(string(r.Status), c.detail, `"parts":1`, 1))
			forged.records[reduced] = &r
			if report := forged.verify(t); report.OK() {
				t.Error("a record that does not say that it lists less is no difference")
			}
			named := more.copy()
			r = *named.records[reduced]
			r.Spec = []byte(strings.Replace(string(r.Spec), `"deployment":"`, `"deployment":"x`, 1))
			named.records[reduced] = &r
			if report := named.verify(t); report.OK() || report.First.Field != "spec.deployment" {
				t.Errorf("a record of another deployment is %v", report.First)
			}
		})
	}
}

func TestAnEmptyLedgerAddsUp(t *testing.T) {
	if report := newWorld(t).verify(t); !report.OK() || report.Blocks != 0 {
		t.Errorf("%+v", report)
	}
}

func TestRecordsThatWerePrunedAreNoDifference(t *testing.T) {
	w := threeHours(t)
	w.records = w.records[4:]
	if report := w.verify(t); !report.OK() || report.Records != 4 {
		t.Errorf("%+v", report)
	}
}

func TestOnlyTheIntervalsThatAreAskedFor(t *testing.T) {
	w := threeHours(t)
	report := w.verify(t, func(in *audit.Input) { in.From, in.To = hours(1).Start, hours(1).End })
	if !report.OK() || report.Intervals != 1 || report.Records != 3 {
		t.Errorf("%+v", report)
	}
}

// What is sealed and published while the records are being listed.
func TestWhatHappensMeanwhile(t *testing.T) {
	w := threeHours(t)
	w.records = w.records[:len(w.records)-1] // of the fourth hour, which was Open
	w.clock.SetTime(w.clock.Now().AddDate(0, 0, 1))
	sealed := threeHours(t)
	sealed.clock = w.clock
	sealed.append(t, hour0+4*hour+1, hours(3))
	w.changes, w.coverage, w.digest = sealed.changes, sealed.coverage, sealed.digest
	before := len(w.records)
	w.publish(t, hours(3), true)
	meanwhile := false
	report := w.verify(t, func(in *audit.Input) {
		in.Progress = func(doing string, done, _ int) {
			if doing == "recomputing records" && done == before && !meanwhile {
				meanwhile, w.blocks = true, sealed.blocks
			}
		}
	})
	if !report.OK() || !meanwhile || report.Intervals != 4 || report.Records != before+1 {
		t.Errorf("%+v; %s", report, report.First)
	}
}

// leaf is one value of a document, and how to set another.
type leaf struct {
	path  string
	value any
	set   func(any)
}

func leaves(path string, value any, set func(any)) []leaf {
	var all []leaf
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			field := key
			if path != "" {
				field = path + "." + key
			}
			all = append(all, leaves(field, value[key], func(v any) { value[key] = v })...)
		}
	case []any:
		for i := range value {
			all = append(all, leaves(fmt.Sprintf("%s[%d]", path, i), value[i], func(v any) { value[i] = v })...)
		}
	default:
		all = append(all, leaf{path: path, value: value, set: set})
	}
	return all
}

// flipped is the value with one byte changed, to one of the same kind. Times and
// words stay such that they can be read.
func flipped(value any) any {
	switch value := value.(type) {
	case json.Number:
		n, _ := value.Int64()
		return json.Number(strconv.FormatInt(n^1, 10))
	case bool:
		return !value
	case string:
		if len(value) > 5 && strings.HasSuffix(value, "Z") && value[10:11] == "T" {
			i := len(value) - 5 // the minutes
			return value[:i] + string(value[i]^1) + value[i+1:]
		}
		if value == "" {
			return "x"
		}
		i := len(value) - 1
		return value[:i] + string(value[i]^1)
	}
	return "x"
}

func TestAByteThatIsFlippedInARecordIsFoundAndNamed(t *testing.T) {
	fields, intact := 0, threeHours(t)
	for _, i := range []int{0, 1, 2, 5} { // one of each account, and one with instances
		parts := map[string]func(*audit.Published) *json.RawMessage{
			"spec":   func(p *audit.Published) *json.RawMessage { return &p.Spec },
			"status": func(p *audit.Published) *json.RawMessage { return &p.Status },
		}
		for part, of := range parts {
			for n := 0; ; n++ {
				w := intact.copy()
				w.clock.SetTime(w.clock.Now().AddDate(0, 0, 1))
				p := w.records[i]
				document := decoded(t, *of(p))
				all := leaves(part, document, nil)
				if n >= len(all) {
					break
				}
				fields++
				is := all[n]
				is.set(flipped(is.value))
				changed, err := json.Marshal(document)
				if err != nil {
					t.Fatal(err)
				}
				*of(p) = changed
				report := w.verify(t)
				name := p.Metadata.Namespace + "/" + p.Metadata.Name
				if d := report.First; d == nil || d.In != audit.InRecord || d.Name != name || d.Field != is.path || d.Expected == d.Found || report.Differences[audit.InRecord] != 1 {
					t.Fatalf("%s %s: %v was changed to %v: got %+v, %v", name, is.path, is.value, flipped(is.value), d, report.Differences)
				}
			}
		}
	}
	if fields < 150 {
		t.Errorf("only %d fields", fields)
	}
}

func TestRecordsThatShouldNotBe(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, w *world, p *audit.Published)
		field  string
	}{
		"of nothing that is sealed": {
			change: func(t *testing.T, w *world, _ *audit.Published) {
				w.records = nil
				w.publish(t, hours(3), true)
			},
		},
		"under a name of its own": {
			change: func(_ *testing.T, _ *world, p *audit.Published) { p.Metadata.Name = "another.2026112118" },
		},
		"in a tenant's namespace that is not the account's": {
			change: func(_ *testing.T, _ *world, p *audit.Published) { p.Metadata.Namespace = "elsewhere" },
		},
		"with another label": {
			change: func(_ *testing.T, _ *world, p *audit.Published) {
				p.Metadata.Labels["metering.usage-operator.dev/interval"] = "20261121T1900Z"
			},
			field: "metadata.labels.metering.usage-operator.dev/interval",
		},
		"without a field": {
			change: func(_ *testing.T, _ *world, p *audit.Published) {
				p.Status = json.RawMessage(strings.Replace(string(p.Status), `"resources":1,`, "", 1))
			},
			field: "status.resources",
		},
		"with a field more": {
			change: func(_ *testing.T, _ *world, p *audit.Published) {
				p.Status = json.RawMessage(strings.Replace(string(p.Status), "{", `{"extra":1,`, 1))
			},
			field: "status.extra",
		},
		"that cannot be read": {
			change: func(_ *testing.T, _ *world, p *audit.Published) {
				p.Spec = json.RawMessage(strings.Replace(string(p.Spec), `"startTime":"2026`, `"startTime":"x026`, 1))
			},
			field: "spec.startTime",
		},
		"that is still Open a day later": {
			change: func(_ *testing.T, w *world, p *audit.Published) {
				p.Status = json.RawMessage(strings.Replace(string(p.Status), `"Final"`, `"Open"`, 1))
				w.clock.SetTime(w.clock.Now().AddDate(0, 0, 1))
			},
			field: "status.phase",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := threeHours(t)
			p := w.records[0]
			test.change(t, w, p)
			d := w.verify(t).First
			if d == nil || d.In != audit.InRecord || d.Field != test.field {
				t.Fatalf("got %+v", d)
			}
			if test.field == "" && !strings.Contains(d.Detail, "no sealed interval") {
				t.Errorf("got %s", d)
			}
		})
	}
}

func TestAByteThatIsFlippedInABlockIsFoundAndNamed(t *testing.T) {
	fields, intact := 0, threeHours(t)
	for _, key := range intact.keys()[1:3] {
		for n := 0; ; n++ {
			w := intact.copy()
			document := decoded(t, w.blocks[key].Spec)
			all := leaves("spec", document, nil)
			if n >= len(all) {
				break
			}
			fields++
			is := all[n]
			is.set(flippedIn(is))
			spec, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			w.blocks[key] = journal.Stored{Key: key, Spec: spec}
			report := w.verify(t)
			if d := report.First; d == nil || d.In != audit.InBlock || d.Name != key.String() || d.Field != "spec.digest" || report.Differences[audit.InBlock] != 1 {
				t.Fatalf("block %s %s: got %+v, %v", key, is.path, d, report.Differences)
			}
		}
	}
	if fields < 60 {
		t.Errorf("only %d fields", fields)
	}
}

// flippedIn flips a byte of the segments' file where it is one.
func flippedIn(is leaf) any {
	text, _ := is.value.(string)
	if !strings.HasSuffix(is.path, "segments") {
		return flipped(is.value)
	}
	file, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "x"
	}
	file[len(file)/2] ^= 1
	return base64.StdEncoding.EncodeToString(file)
}

// Who knows how digests are made gives the changed block a right one: then the
// block after it names another, or its intervals do not add up.
func TestABlockThatIsForgedIsFound(t *testing.T) {
	intact := threeHours(t)
	for i, key := range intact.keys()[1:3] {
		for n := 0; ; n++ {
			w := intact.copy()
			document := decoded(t, w.blocks[key].Spec).(map[string]any)
			all := leaves("spec", document, nil)
			if n >= len(all) {
				break
			}
			is := all[n]
			if is.path == "spec.digest" {
				continue
			}
			is.set(flippedIn(is))
			delete(document, "digest")
			canonical, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			document["digest"] = journal.Digest(sha256.Sum256(canonical)).String()
			spec, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			w.blocks[key] = journal.Stored{Key: key, Spec: spec}
			d := w.verify(t).First
			// Of two blocks that contradict each other, either is the wrong one.
			before := intact.keys()[i].String()
			if d == nil || d.In != audit.InBlock || d.Name != key.String() && (is.path != "spec.previousDigest" || d.Name != before) {
				t.Fatalf("block %s %s: got %+v", key, is.path, d)
			}
		}
	}
}

func TestABlockThatIsMissingIsFound(t *testing.T) {
	intact := threeHours(t)
	for _, key := range intact.keys()[:4] {
		w := intact.copy()
		delete(w.blocks, key)
		d := w.verify(t).First
		if d == nil || d.In != audit.InBlock || d.Name != key.String() || d.Field != "Missing" {
			t.Errorf("block %s: got %+v", key, d)
		}
	}
}

// A journal that was written anew as a whole adds up, and yet is not the one
// that it was.
func TestAJournalThatWasRewritten(t *testing.T) {
	kept := threeHours(t).digest
	w := newWorld(t)
	w.append(t, hour0+hour, hours(0), held(subject("shop", "db", "db-0"), vcpu, 1000, 0, 0))
	w.publish(t, hours(0), true)
	if report := w.verify(t); !report.OK() {
		t.Fatal(report.First)
	}
	d := w.verify(t, func(in *audit.Input) { in.Seal = kept }).First
	if d == nil || d.In != audit.InInterval || d.Expected != kept.String() {
		t.Errorf("got %+v", d)
	}
	w = threeHours(t)
	if report := w.verify(t, func(in *audit.Input) { in.Seal = kept }); !report.OK() {
		t.Error(report.First)
	}
}

func TestIntervalsThatDoNotAddUp(t *testing.T) {
	db := subject("shop", "db", "db-0")
	cases := map[string]struct {
		second      usage.Window
		wrong       func(w *world)
		name, field string
	}{
		"sealed with something else": {
			second: hours(1), wrong: func(w *world) { w.changes[0].Level = 3000 },
			name: "2026-11-21T19:00:00Z/2026-11-21T20:00:00Z", field: "digest",
		},
		"sealed after another one": {
			second: hours(1), wrong: func(w *world) { w.digest[0] ^= 1 },
			name: "2026-11-21T19:00:00Z/2026-11-21T20:00:00Z", field: "digest",
		},
		"one is missing": {
			second: hours(2), wrong: func(*world) {},
			name: "2026-11-21T20:00:00Z/2026-11-21T21:00:00Z", field: "startTime",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.clock.SetTime(w.clock.Now().AddDate(0, 0, 1))
			w.append(t, hour0+hour, hours(0), held(db, vcpu, 1000, 0, 0))
			test.wrong(w)
			w.append(t, test.second.End, test.second)
			w.append(t, test.second.End+hour, test.second.Next())
			report := w.verify(t)
			if d := report.First; d == nil || d.In != audit.InInterval || d.Name != test.name || d.Field != test.field {
				t.Fatalf("got %+v", d)
			}
		})
	}
}

// compacted is the world after more entries, which were merged with what was before.
func compacted(t *testing.T) *world {
	t.Helper()
	w := threeHours(t)
	for i := range int64(8) {
		w.append(t, now+i, usage.Window{})
	}
	if _, err := w.journal.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAJournalThatWasCompactedAddsUp(t *testing.T) {
	w := compacted(t)
	both := len(w.blocks)
	if report := w.verify(t); !report.OK() || report.Blocks != both || report.Sequence != 13 {
		t.Fatalf("%+v; %s", report, report.First)
	}
	w.append(t, now+9, usage.Window{})
	if deleted, err := w.journal.Compact(t.Context()); err != nil || deleted == 0 {
		t.Fatal(deleted, err)
	}
	if report := w.verify(t); !report.OK() || report.Blocks >= both || report.Intervals != 3 || report.Records != 8 {
		t.Fatalf("%+v; %s", report, report.First)
	}
	for _, key := range w.keys() {
		changed := w.copy()
		spec := strings.Replace(string(w.blocks[key].Spec), `"4711"`, `"4712"`, 1)
		changed.blocks[key] = journal.Stored{Key: key, Spec: []byte(spec)}
		if d := changed.verify(t).First; d == nil || d.In != audit.InBlock || d.Name != key.String() {
			t.Errorf("block %s: got %+v", key, d)
		}
	}
}

// A block that another stands for is read by nobody else, and is deleted soon.
func TestABlockThatAnotherStandsForIsVerifiedToo(t *testing.T) {
	w := compacted(t)
	key := journal.Key{From: 2, To: 2}
	spec := strings.Replace(string(w.blocks[key].Spec), `"4711"`, `"4712"`, 1)
	w.blocks[key] = journal.Stored{Key: key, Spec: []byte(spec)}
	report := w.verify(t)
	if d := report.First; d == nil || d.Name != key.String() || len(report.Differences) != 1 {
		t.Errorf("got %+v, %v", d, report.Differences)
	}
}

func TestAGapThatWasAcceptedIsListed(t *testing.T) {
	w := threeHours(t)
	lost, told := journal.Key{From: 2, To: 2}, journal.Key{From: 1, To: 1}
	delete(w.blocks, lost)
	w.blocks[told] = journal.Stored{Key: told, Spec: w.blocks[told].Spec, Accepts: "2"}
	report := w.verify(t)
	if len(report.Gaps) != 1 || report.Gaps[0].Blocks != "2" || !report.Gaps[0].Lost || report.Differences[audit.InBlock] != 0 {
		t.Errorf("%+v", report)
	}
	// What was in it is missing in the interval that it was sealed with, and that is said.
	if d := report.First; d == nil || d.In != audit.InInterval {
		t.Errorf("got %+v", d)
	}
}
