package dashboard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// api asks the usage API itself, as somebody.
func api[T any](t *testing.T, server *httptest.Server, token, method, path, body string) (answer T) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %v, status %d: %s", method, path, err, response.StatusCode, text)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return answer
}

// whole is the sum of whole numbers of any size.
func whole(t *testing.T, texts ...string) *big.Int {
	t.Helper()
	sum := new(big.Int)
	for _, text := range texts {
		n, ok := new(big.Int).SetString(strings.TrimPrefix(text, "exactly "), 10)
		if !ok {
			t.Fatalf("%q is no whole number", text)
		}
		sum.Add(sum, n)
	}
	return sum
}

// seen is what a page shows of usage: the tiles of metrics, and of the chosen one the ranking and the
// figures of each window. Exact figures are in titles; "" is none, for unknown.
type seen struct {
	Tiles   []tile     `json:"tiles"`
	Lines   []tile     `json:"lines"`   // of the ranking, the total last
	Windows [][]string `json:"windows"` // the total last in each
}

type tile struct {
	Name  string `json:"name"`
	Exact string `json:"exact"`
	Shown string `json:"shown"`
}

const look = `(() => {
	const exact = (e) => /^exactly (\d+)/.exec(e?.title || '')?.[1] || ''
	const figure = (row, name) => ({ name, exact: exact(row.querySelector('.figure')), shown: row.querySelector('.figure').firstChild.textContent })
	const tables = [...document.querySelectorAll('section.card table')]
	const ranking = tables.find((t) => t.caption.textContent.includes('largest'))
	const windows = tables.find((t) => t.caption.textContent.startsWith('Figures in'))
	return {
		tiles: [...document.querySelectorAll('button.metric')].map((b) => figure(b, b.querySelector('.name').textContent)),
		lines: [...ranking.tBodies[0].rows].map((r) => figure(r, r.cells[0].textContent)),
		windows: [...windows.tBodies[0].rows].map((r) => [...r.querySelectorAll('td')].map((c) => exact(c.querySelector('span')))),
	}
})()`

// shows fails unless a text is the exact figure in a unit's hours, rounded once to three digits.
func shows(t *testing.T, what string, f tile, scale *big.Int) {
	t.Helper()
	text := regexp.MustCompile(`[\x{202f} ?~]`).ReplaceAllString(f.Shown, "")
	got, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Errorf("%s: %q is no figure", what, f.Shown)
		return
	}
	want := new(big.Rat).SetFrac(whole(t, f.Exact), scale)
	if off := got.Sub(got, want); off.Abs(off).Cmp(big.NewRat(1, 2000)) > 0 {
		t.Errorf("%s shows %s for %s of %s", what, f.Shown, f.Exact, scale)
	}
}

// scopes are the views of usage, of all scopes, with who looks and the filters that they are.
var scopes = []struct{ token, view, filters, group string }{
	{"admin", "overview", `{}`, "namespace"},
	{"bank", "tenant/bank", `{"namespaces":["bank"]}`, "deployment"},
	{"shop", "tenant/shop", `{"namespaces":["shop"]}`, "deployment"},
	{"admin", "tenant/lab", `{"namespaces":["lab"]}`, "deployment"},
	{"bank", "deployment/bank/ledger", `{"namespaces":["bank"],"deployments":["ledger"]}`, "resource"},
	{"shop", "deployment/shop/" + url.PathEscape(hostile), `{"namespaces":["shop"],"deployments":["` + strings.ReplaceAll(hostile, `"`, `\"`) + `"]}`, "resource"},
}

// For each metric, each figure that a page shows is the API's exact one: the totals, the groups with
// the others, and what was used in each window. They add up, whichever way.
func TestFiguresOfEachPageAreTheAPIs(t *testing.T) {
	server, _ := serve(t)
	viewers := map[string]*viewer{}
	for _, s := range scopes {
		v := viewers[s.token]
		if v == nil {
			v = open(t, server.URL)
			v.logIn(s.token)
			viewers[s.token] = v
		}
		question := `{"startingOn":"2026-11-06T00:00:00Z","endingBefore":"2026-11-21T12:30:00Z","windowSize":"%s","groupBy":["resourceType"%s],"filters":` + s.filters + `,"limit":1000}`
		want := api[wire.Report](t, server, s.token, http.MethodPost, "/v1alpha1/report", fmt.Sprintf(question, "none", ""))
		rows := api[wire.Report](t, server, s.token, http.MethodPost, "/v1alpha1/report", fmt.Sprintf(question, "day", `,"`+s.group+`"`))
		if rows.NextPage != "" || len(want.Totals) == 0 {
			t.Fatalf("%s: %d totals, and rows from %s on", s.view, len(want.Totals), rows.NextPage)
		}
		for i := range want.Totals {
			metric := want.Totals[i].ResourceType + "." + want.Totals[i].Dimension
			what := s.view + ", " + metric
			v.look(s.view + fortnight + "&by=day&zone=UTC&metric=" + url.QueryEscape(metric))
			got := eval[seen](v, look)
			if len(got.Tiles) != len(want.Totals) {
				t.Fatalf("%s: %d metrics are shown, want %d", what, len(got.Tiles), len(want.Totals))
			}
			for j, tile := range got.Tiles {
				if tile.Exact != want.Totals[j].Exact {
					t.Errorf("%s: %s is %s, want %s", what, tile.Name, tile.Exact, want.Totals[j].Exact)
				}
				shows(t, what+": "+tile.Name, tile, scaleOf(t, want.Totals[j].Exact, want.Totals[j].Quantity))
			}
			sameLines(t, what, got, want.Totals[i].Exact, scaleOf(t, want.Totals[i].Exact, want.Totals[i].Quantity))
			sameWindows(t, what, got, &rows, want.Totals[i].ResourceType, want.Totals[i].Dimension)
		}
		v.well(s.view)
	}
}

// scaleOf is how many of the exact unit are one of the unit: those of the fixture's figures are whole.
func scaleOf(t *testing.T, exact, quantity string) *big.Int {
	t.Helper()
	q, ok := new(big.Rat).SetString(quantity)
	if !ok || q.Sign() == 0 {
		t.Fatalf("the quantity is %q", quantity)
	}
	scale := new(big.Rat).Quo(new(big.Rat).SetInt(whole(t, exact)), q)
	for _, unit := range []int64{3_600, 3_600_000, 3_600 << 30} {
		off := new(big.Rat).Sub(new(big.Rat).Quo(scale, big.NewRat(unit, 1)), big.NewRat(1, 1))
		if off.Abs(off).Cmp(big.NewRat(1, 1000)) < 0 {
			return big.NewInt(unit)
		}
	}
	t.Fatalf("%s is %s: which unit is that?", exact, quantity)
	return nil
}

// sameLines: the groups and the others are the total.
func sameLines(t *testing.T, what string, got seen, total string, scale *big.Int) {
	t.Helper()
	var parts []string
	for _, line := range got.Lines[:len(got.Lines)-1] {
		parts = append(parts, line.Exact)
		shows(t, what+": "+line.Name, line, scale)
	}
	last := got.Lines[len(got.Lines)-1]
	if last.Name != "Total" || last.Exact != total || whole(t, parts...).String() != total {
		t.Errorf("%s: the lines are %v, the total %s, want %s", what, parts, last.Exact, total)
	}
}

// usedByDay is what the API's rows of a metric add up to, by day; no row is of nothing.
func usedByDay(t *testing.T, rows *wire.Report, resourceType, dimension string) map[string]*big.Int {
	t.Helper()
	used := map[string]*big.Int{}
	for i := range rows.Rows {
		r := &rows.Rows[i]
		if string(r.Group["resourceType"]) != resourceType || string(r.Group["dimension"]) != dimension || r.Exact == "" {
			continue
		}
		day := r.StartTime.UTC().Format("2006-01-02")
		if used[day] == nil {
			used[day] = new(big.Int)
		}
		used[day].Add(used[day], whole(t, r.Exact))
	}
	return used
}

// sameWindows: in each window the lines are the total, and the total is that of the API's rows.
func sameWindows(t *testing.T, what string, got seen, rows *wire.Report, resourceType, dimension string) {
	t.Helper()
	want := usedByDay(t, rows, resourceType, dimension)
	if len(got.Windows) != 16 {
		t.Fatalf("%s: %d windows are shown, want 16", what, len(got.Windows))
	}
	for i, cells := range got.Windows {
		day := fmt.Sprintf("2026-11-%02d", 6+i)
		total := cells[len(cells)-1]
		if total == "" { // unknown: metering began on the 8th
			if i >= 2 {
				t.Errorf("%s: %s is unknown", what, day)
			}
			continue
		}
		if i < 2 {
			t.Errorf("%s: %s was before metering began, and is shown as %s", what, day, total)
		}
		var parts []string
		for _, cell := range cells[:len(cells)-1] {
			if cell != "" {
				parts = append(parts, cell)
			}
		}
		used := new(big.Int) // no row is of nothing
		if want[day] != nil {
			used = want[day]
		}
		if sum := whole(t, parts...); sum.String() != total || used.String() != total {
			t.Errorf("%s: on %s the lines are %v, the total %s, want %s", what, day, parts, total, used)
		}
	}
}

// A resource's figures are its segments', without what corrections take off.
func TestFiguresOfAResourceAreTheAPIs(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("shop")
	v.look(views["resource"])
	list := api[wire.ResourceList](t, server, "shop", http.MethodGet, "/v1alpha1/resources"+fortnight+"&uid=uid-render", "")
	if len(list.Resources) != 1 || len(list.Resources[0].Totals) != 2 {
		t.Fatalf("%+v", list)
	}
	r := list.Resources[0]
	for i, total := range r.Totals {
		if got := eval[string](v, fmt.Sprintf(`document.querySelectorAll('div.metric .figure')[%d].title`, i)); got != "exactly "+total.Exact+" "+total.ExactUnit {
			t.Errorf("%s: the page shows %s, want %s", total.Dimension, got, total.Exact)
		}
		sum := new(big.Int)
		for j := range r.Segments {
			if s := &r.Segments[j]; s.Dimension == total.Dimension {
				sum.Add(sum, new(big.Int).Mul(big.NewInt(s.ExactLevel), big.NewInt(s.Seconds)))
			}
		}
		for j := range r.Corrections {
			if s := &r.Corrections[j]; s.Dimension == total.Dimension && s.Correction == "less" {
				sum.Sub(sum, new(big.Int).Mul(big.NewInt(s.ExactLevel), big.NewInt(s.Seconds)))
			}
		}
		if sum.String() != total.Exact {
			t.Errorf("%s: the segments are %s, the total %s", total.Dimension, sum, total.Exact)
		}
	}
}

// capacityWindows are windows of the overview: of known time, with gaps, and from before the ledger.
var capacityWindows = []string{
	"from=2026-11-06T00:00:00Z&to=2026-11-21T12:30:00Z", "from=2026-11-09T00:30:00Z&to=2026-11-10T00:17:00Z", "from=2026-11-15T00:00:00Z&to=2026-11-16T00:00:00Z",
	"from=2026-11-20T12:30:00Z&to=2026-11-21T12:30:00Z", "from=2026-10-01T00:00:00Z&to=2026-11-01T00:00:00Z", "from=2026-11-15T07:00:00Z&to=2026-11-15T09:00:00Z",
}

// Attributed + unattributed + idle = capacity + beyond, for each dimension and window, however the
// time is cut: and the page shows the same. Where nothing is known, it shows no figure.
func TestCapacityAddsUpForEachDimensionAndWindow(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("admin")
	compared := 0
	for _, window := range capacityWindows {
		for _, size := range []string{"none", "hour", "day", "week", "month"} {
			got := api[wire.Capacity](t, server, "admin", http.MethodGet, "/v1alpha1/capacity?"+window+"&window_size="+size, "")
			if len(got.Dimensions) != 3 {
				t.Fatalf("%d dimensions", len(got.Dimensions))
			}
			for i := range got.Dimensions {
				d := &got.Dimensions[i]
				var parts []*wire.CapacityFigures
				for j := range d.Windows {
					parts = append(parts, &d.Windows[j].CapacityFigures)
				}
				for _, f := range append(parts, &d.Total) {
					if addsUp(t, window+", by "+size+", "+d.Dimension, f) {
						compared++
					}
				}
				sameSum(t, window+", by "+size+", "+d.Dimension, parts, &d.Total)
			}
		}
		v.look("overview?" + window)
		shown := eval[[][]string](v, `[...document.querySelectorAll('tr:has([data-part])')].map((r) => [...r.querySelectorAll('[data-part]')].map((c) => c.textContent))`)
		want := api[wire.Capacity](t, server, "admin", http.MethodGet, "/v1alpha1/capacity?"+window, "")
		for i := range want.Dimensions {
			f := &want.Dimensions[i].Total
			cells := []string{"unknown", "unknown", "unknown", "unknown", "unknown"}
			if f.Capacity != nil {
				cells = []string{f.Capacity.Exact, f.Attributed.Exact, f.Unattributed.Exact, f.Idle.Exact, f.Beyond.Exact}
			}
			if got := strings.Join(shown[i], " "); got != strings.Join(cells, " ") {
				t.Errorf("%s, %s: the page shows %s, want %s", window, want.Dimensions[i].Dimension, got, cells)
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d balances were compared", compared)
	}
	v.well("capacity")
}

// addsUp checks a balance, and tells whether there is one.
func addsUp(t *testing.T, what string, f *wire.CapacityFigures) bool {
	t.Helper()
	if f.Capacity == nil {
		if f.ComparedSeconds != 0 || f.Attributed != nil || f.Unattributed != nil || f.Idle != nil || f.Beyond != nil {
			t.Errorf("%s: %d seconds are compared, and there is no capacity", what, f.ComparedSeconds)
		}
		return false
	}
	held := whole(t, f.Attributed.Exact, f.Unattributed.Exact, f.Idle.Exact)
	if there := whole(t, f.Capacity.Exact, f.Beyond.Exact); held.Cmp(there) != 0 {
		t.Errorf("%s: attributed + unattributed + idle is %s, capacity + beyond %s", what, held, there)
	}
	return true
}

// sameSum checks that windows add up to their total.
func sameSum(t *testing.T, what string, parts []*wire.CapacityFigures, total *wire.CapacityFigures) {
	t.Helper()
	if total.Capacity == nil {
		return
	}
	for name, of := range map[string]func(*wire.CapacityFigures) *wire.Figure{
		"capacity": func(f *wire.CapacityFigures) *wire.Figure { return f.Capacity }, "attributed": func(f *wire.CapacityFigures) *wire.Figure { return f.Attributed },
		"unattributed": func(f *wire.CapacityFigures) *wire.Figure { return f.Unattributed }, "idle": func(f *wire.CapacityFigures) *wire.Figure { return f.Idle },
		"beyond": func(f *wire.CapacityFigures) *wire.Figure { return f.Beyond },
	} {
		sum := new(big.Int)
		for _, f := range parts {
			if of(f) != nil {
				sum.Add(sum, whole(t, of(f).Exact))
			}
		}
		if sum.String() != of(total).Exact {
			t.Errorf("%s: %s of all windows is %s, in total %s", what, name, sum, of(total).Exact)
		}
	}
}
