package meter

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// bombs are expressions that an object of a tenant's could make cost very much.
var bombs = map[string]string{
	"a precision of 9 digits":   `size('%.1000000000f'.format([1.5]))`,
	"a precision of 6 digits":   `size('%.100000f'.format([1.5]))`,
	"replacing that grows":      `size([0,0,0,0,0,0].map(i, self.data.a.replace('a', self.data.a)).join(''))`,
	"replacing what was":        `size(self.data.a.replace('', self.data.a).replace('', self.data.a))`,
	"joining":                   `size(self.data.l.map(x, self.data.a).join(self.data.a))`,
	"a pattern":                 `self.data.a.matches('(a*)*(a*)*(a*)*(a*)*b{1000}c{900}') ? 1 : 0`,
	"a pattern of the object":   `self.data.a.matches(self.data.r) ? 1 : 0`,
	"finding all":               `size(self.data.a.findAll('a?'))`,
	"splitting":                 `size(self.data.a.split(''))`,
	"all of all":                `self.data.l.all(x, self.data.l.all(y, x != y || x == y)) ? 1 : 0`,
	"sets":                      `sets.intersects(self.data.l, self.data.l.map(x, x + 'z')) ? 1 : 0`,
	"comparing objects":         `self.data.l.map(x, self).all(x, x == self) ? 1 : 0`,
	"lists of lists":            `size(self.data.l.map(x, self.data.l).map(y, y.join('')))`,
	"a range of 9 digits":       `size(lists.range(100000000))`,
	"a range that is gone over": `size(lists.range(1000000).map(x, x))`,
	"a URL":                     `url(self.data.a).getHost() == '' ? 1 : 0`,
	"a large exponent":          `quantity('1e9999999999').isInteger() ? 1 : 0`,
	"many digits":               `quantity(self.data.n).isInteger() ? 1 : 0`,
	"reversing":                 `size(self.data.a.reverse())`,
	"base64":                    `size(base64.encode(bytes(self.data.a + self.data.a + self.data.a)))`,
	"a version of many digits":  `semver(self.data.n + '.0.0').major()`,
	"flattening":                `size(self.data.deep.flatten(1000))`,
}

// Whatever an expression is and an object has: it is refused when it is compiled, or reading the
// object ends, with an error once it has cost more than it may.
func TestExpressionsThatMayCostVeryMuchAreRefusedOrEnd(t *testing.T) {
	list := strings.TrimSuffix(strings.Repeat(`"abcdefghij",`, 1_000), ",")
	large := object(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y", "uid": "z"},
		"data": {"a": %q, "r": %q, "n": %q, "l": [%s], "deep": %s}}`, strings.Repeat("a", 30_000), strings.Repeat("(a*)*", 200),
		strings.Repeat("9", 20_000), list, strings.Repeat("[", 2000)+strings.Repeat("]", 2000)))
	refused, ended := 0, 0
	for name, expression := range bombs {
		m, err := Compile("test", spec(t, fmt.Sprintf("resourceType: x\ntarget: {kind: ConfigMap}\ndimensions: [{name: a, unit: count, quantity: %q}]", expression)), true)
		if err != nil {
			refused++
			continue
		}
		ended++
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		read, err := m.Inspect(large)
		runtime.ReadMemStats(&after)
		t.Logf("%-26s cost %d of %d, %d MiB, %.90v", name, read.Cost, read.MostCost, (after.TotalAlloc-before.TotalAlloc)>>20, err)
		if read.Cost > read.MostCost && err == nil {
			t.Errorf("%s: it cost %d, of at most %d, and was read", name, read.Cost, read.MostCost)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 512<<20 {
			t.Errorf("%s: %d MiB were allocated", name, made>>20)
		}
	}
	if refused == 0 || ended == 0 {
		t.Errorf("%d are refused, and %d end", refused, ended)
	}
}

// What grows is as it was, up to what it may make.
func TestReplacingAndJoiningAreCELsOwn(t *testing.T) {
	o := object(t, `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y", "uid": "z"}, "data": {"a": "banana", "l": ["b", "c", ""], "n": [1]}}`)
	for expression, want := range map[string]int64{
		`self.data.a.replace('a', 'oo') == 'boonoonoo'`:                              1,
		`self.data.a.replace('a', 'oo', 2) == 'boonoona'`:                            1,
		`self.data.a.replace('a', 'oo', 0) == 'banana'`:                              1,
		`self.data.a.replace('a', 'oo', -1) == 'boonoonoo'`:                          1,
		`self.data.a.replace('', '-') == '-b-a-n-a-n-a-'`:                            1,
		`self.data.a.replace('nan', '') == 'baa'`:                                    1,
		`self.data.l.join() == 'bc'`:                                                 1,
		`self.data.l.join(', ') == 'b, c, '`:                                         1,
		`['a'].join('-') == 'a' && [].join('-') == ''`:                               1,
		`self.data == {'a': dyn('banana'), 'l': dyn(['b', 'c', '']), 'n': dyn([1])}`: 1,
		`self.data.l != ['b']`:                                                       1,
	} {
		m, err := Compile("test", spec(t, fmt.Sprintf("resourceType: x\ntarget: {kind: ConfigMap}\ndimensions: [{name: a, unit: count, quantity: %q}]", expression+" ? 1 : 0")), true)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		members, err := m.Read(o)
		if err != nil || len(members) != 1 || members[0].Levels[0] != want*1000 {
			t.Errorf("%s: got %+v, %v", expression, members, err)
		}
	}
	m, err := Compile("test", spec(t, "resourceType: x\ntarget: {kind: ConfigMap}\ndimensions: [{name: a, unit: count, quantity: 'size(self.data.n.join())'}]"), true)
	if err == nil {
		_, err = m.Read(o)
	}
	if err == nil {
		t.Error("numbers are joined")
	}
}
