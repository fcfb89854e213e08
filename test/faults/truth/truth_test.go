package truth

import (
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const begin = 1_800_000_000 / 60 * 60

// says is a record of the minute with these segments of widget w. Their moments are seconds after begin.
func says(accuracy v1alpha1.Accuracy, segments ...v1alpha1.Segment) v1alpha1.UsageRecord {
	r := v1alpha1.UsageRecord{}
	r.Name = "web"
	r.Spec = v1alpha1.UsageRecordSpec{Namespace: "shop", Deployment: "web", StartTime: moment(0), EndTime: moment(60)}
	r.Status = v1alpha1.UsageRecordStatus{Phase: v1alpha1.PhaseFinal, Accuracy: accuracy, Parts: 1}
	if len(segments) == 0 {
		return r
	}
	r.Status.Usage = []v1alpha1.Usage{{ResourceType: "widget", Resource: v1alpha1.ObjectReference{Name: "w", UID: "w"}, Segments: segments}}
	var sum int64
	for _, s := range segments {
		exact, _ := strconv.ParseInt(s.Exact, 10, 64)
		sum += exact
	}
	r.Status.Totals = []v1alpha1.Total{{ResourceType: "widget", Dimension: "size", Exact: strconv.FormatInt(sum, 10)}}
	return r
}

func segment(level, start, end int64) v1alpha1.Segment {
	return v1alpha1.Segment{
		Dimension: "size", Level: strconv.FormatInt(level, 10), StartTime: moment(start), EndTime: new(moment(end)), Exact: strconv.FormatInt(level*(end-start), 10),
	}
}

func within(s v1alpha1.Segment, earliest, latest int64) v1alpha1.Segment {
	s.StartEarliest, s.EndLatest = new(moment(earliest)), new(moment(latest))
	return s
}

func moment(after int64) metav1.Time { return metav1.NewTime(time.Unix(begin+after, 0)) }

func TestJudge(t *testing.T) {
	const exact, estimated = v1alpha1.AccuracyExact, v1alpha1.AccuracyEstimated
	held := Held{"shop", "web", 2}
	diary := func(level func(d *Diary, key Key)) *Diary {
		d, key := &Diary{}, Key{Instance: "w", Dimension: "size"}
		d.Note(key, At(begin+10), held)
		level(d, key)
		return d
	}
	removed := diary(func(d *Diary, _ Key) { d.End("w", Moment{begin + 40, begin + 41}) })
	resized := diary(func(d *Diary, key Key) { d.Note(key, At(begin+30), Held{"shop", "web", 4}) })
	cases := map[string]struct {
		diary   *Diary
		records []v1alpha1.UsageRecord
		unknown []usage.Window
		want    string // a part of the only problem; "" for none
	}{
		"what was held":              {diary: resized, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 30), segment(4, 30, 60))}},
		"a removal's earlier second": {diary: removed, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 40))}},
		"a removal's later second":   {diary: removed, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 41))}},
		"a removal too late": {
			diary: removed, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 43))},
			want: "nothing was held, and the records say 2 under shop/web",
		},
		"a silent zero": {diary: removed, want: "2 under shop/web was held, and the records say nothing"},
		"a level that was not held": {
			diary: resized, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 31), segment(4, 31, 60))},
			want: "4 under shop/web was held, and the records say 2 under shop/web",
		},
		"an end within its bounds": {diary: removed, records: []v1alpha1.UsageRecord{says(estimated, within(segment(2, 10, 20), 10, 45))}},
		"one that may have lasted no time": {
			diary:   diary(func(d *Diary, _ Key) { d.End("w", Moment{begin + 12, begin + 13}) }),
			records: []v1alpha1.UsageRecord{says(estimated, within(segment(2, 10, 10), 10, 15))},
		},
		"a start within its bounds":     {diary: removed, records: []v1alpha1.UsageRecord{says(estimated, within(segment(2, 25, 40), 5, 40))}},
		"an end that is not within its": {diary: removed, records: []v1alpha1.UsageRecord{says(estimated, within(segment(2, 10, 20), 10, 30))}, want: "from 08:00:30 to 08:00:40 2"},
		"a change within bounds": {
			diary:   resized,
			records: []v1alpha1.UsageRecord{says(estimated, within(segment(2, 10, 20), 10, 40), within(segment(4, 40, 60), 20, 60))},
		},
		"bounds in a record that says Exact": {
			diary: removed, records: []v1alpha1.UsageRecord{says(exact, within(segment(2, 10, 40), 10, 45))},
			want: "it says Exact, and has a boundary within bounds",
		},
		"what counts twice": {
			diary: resized, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 30), segment(4, 30, 60), segment(4, 50, 60))},
			want: "overlap",
		},
		"what is known to be unknown": {diary: removed, unknown: []usage.Window{{Start: begin, End: begin + 60}}},
		"what is unknown in a record that says Exact": {
			diary: resized, records: []v1alpha1.UsageRecord{says(exact, segment(2, 10, 30))},
			unknown: []usage.Window{{Start: begin, End: begin + 60}}, want: "from 08:00:30 to 08:01:00 4 under shop/web",
		},
		"a part that is missing": {
			diary: removed,
			records: func() []v1alpha1.UsageRecord {
				r := says(exact, segment(2, 10, 40))
				r.Status.Parts = 2
				return []v1alpha1.UsageRecord{r}
			}(),
			want: "1 of 2 parts are there",
		},
		"a total that does not add up": {
			diary: removed,
			records: func() []v1alpha1.UsageRecord {
				r := says(exact, segment(2, 10, 40))
				r.Status.Totals[0].Exact = "61"
				return []v1alpha1.UsageRecord{r}
			}(),
			want: "the total of widget size is 61, and its segments add up to 60",
		},
		"another object of the same namespace": {
			diary: removed,
			records: func() []v1alpha1.UsageRecord {
				r, other := says(exact, segment(2, 10, 40)), says(exact, segment(3, 0, 60))
				other.Spec.Deployment, other.Status.Usage[0].Resource.UID = "db", "other"
				return []v1alpha1.UsageRecord{r, other}
			}(),
			want: "size of other: from 08:00:00 to 08:01:00 nothing was held, and the records say 3 under shop/db",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.diary.Judge(Case{Records: c.records, Window: usage.Window{Start: begin, End: begin + 60}, Unknown: c.unknown})
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("found wrong: %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("found wrong: %q; want %q", got, c.want)
			}
		})
	}
}
