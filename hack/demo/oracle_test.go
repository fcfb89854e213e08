package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTotalsOfAnInterval(t *testing.T) {
	db := account{"shop", "db"}
	vcpu := measure{"vm", "vcpu"}
	cases := map[string]struct {
		script func(*oracle)
		want   []total
	}{
		"a resize splits the interval": {
			script: func(o *oracle) {
				o.hold("db", db, 70, levels{vcpu: 2000})
				o.hold("db", db, 90, levels{vcpu: 4000})
			},
			want: []total{{db, vcpu, 60, 160_000, 160_000, 160_000}},
		},
		"what ends when the interval begins counts nothing": {
			script: func(o *oracle) {
				o.hold("db", db, 10, levels{vcpu: 2000})
				o.end("db", 60)
			},
			want: []total{},
		},
		"what begins when the interval ends counts nothing": {
			script: func(o *oracle) { o.hold("db", db, 120, levels{vcpu: 2000}) },
			want:   []total{},
		},
		"a removal leaves a second's doubt": {
			script: func(o *oracle) {
				o.hold("db", db, 0, levels{vcpu: 1})
				o.remove("db", 100)
			},
			want: []total{{db, vcpu, 60, 40, 39, 41}},
		},
		"a removal on the boundary may lie on either side": {
			script: func(o *oracle) {
				o.hold("db", db, 0, levels{vcpu: 1})
				o.remove("db", 60)
			},
			want: []total{{db, vcpu, 60, 0, 0, 1}},
		},
		"two of one account add up": {
			script: func(o *oracle) {
				o.hold("db-0", db, 0, levels{vcpu: 1})
				o.hold("db-1", db, 110, levels{vcpu: 2})
			},
			want: []total{{db, vcpu, 60, 80, 80, 80}},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			o := newOracle()
			test.script(o)

			got := o.totals(60, 60)

			all := cmp.AllowUnexported(total{}, account{}, measure{})
			if diff := cmp.Diff(test.want, got, all); diff != "" {
				t.Errorf("totals differ (-want +got):\n%s", diff)
			}
		})
	}
}
