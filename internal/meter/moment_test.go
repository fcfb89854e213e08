package meter

import (
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestMoment(t *testing.T) {
	const at = 1795293450 // 2026-11-21T20:37:30Z
	cases := map[string]struct {
		value ref.Val
		want  int64
		err   string
	}{
		"a timestamp":                          {value: types.Timestamp{Time: time.Unix(at, 999_999_999)}, want: at},
		"text":                                 {value: types.String("2026-11-21T20:37:30Z"), want: at},
		"parts of a second are dropped":        {value: types.String("2026-11-21T20:37:30.999999Z"), want: at},
		"another time zone":                    {value: types.String("2026-11-22T02:07:30+05:30"), want: at},
		"empty text is none":                   {value: types.String("")},
		"null is none":                         {value: types.NullValue},
		"the year 1, Go's unset time, is none": {value: types.String("0001-01-01T00:00:00Z")},
		"a date is no time":                    {value: types.String("2026-11-21"), err: `"2026-11-21" is not a time; want RFC 3339`},
		"a number is no time":                  {value: types.Int(at), err: "it gives int; want a timestamp"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := moment(c.value)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, %v; want the error %q", got, err, c.err)
				}
				return
			}
			want := usage.Boundary{}
			if c.want != 0 {
				want = usage.Boundary{At: c.want, Evidence: usage.ObjectTime}
			}
			if err != nil || got != want {
				t.Fatalf("got %v, %v; want %v", got, err, want)
			}
		})
	}
}
