package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// columns is how wide what the demo shows may be.
const columns = 80

// metric is what figures are added up by: no two of different metrics are.
type metric struct{ cluster, resourceType, dimension, unit string }

// sums are exact figures that were added up.
type sums map[metric]*big.Int

func (s sums) put(m metric, exact string) error {
	n, is := new(big.Int).SetString(exact, 10)
	if !is {
		return fmt.Errorf("%v: %q is no whole number", m, exact)
	}
	if s[m] == nil {
		s[m] = new(big.Int)
	}
	s[m].Add(s[m], n)
	return nil
}

// add adds up the rows of a cluster's table, as the plugin prints it for programs.
func (s sums) add(cluster, table string) error {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil || len(rows) == 0 {
		return fmt.Errorf("no table: %w", orNothing(err))
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	for _, name := range []string{"resource_type", "dimension", "exact", "exact_unit"} {
		if _, has := at[name]; !has {
			return fmt.Errorf("the table has no column %s: %v", name, rows[0])
		}
	}
	for _, row := range rows[1:] {
		m := metric{cluster, row[at["resource_type"]], row[at["dimension"]], row[at["exact_unit"]]}
		if err := s.put(m, row[at["exact"]]); err != nil {
			return err
		}
	}
	return nil
}

// same tells whether both have the same metrics, and the same figure of each.
func (s sums) same(other sums) bool {
	return maps.EqualFunc(s, other, func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
}

func (s sums) String() string {
	var lines []string
	for m, n := range s {
		lines = append(lines, fmt.Sprintf("%-9s%-13s%-18s%16s %s", m.cluster, m.resourceType, m.dimension, n, m.unit))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// report asks the hub for a report of both clusters, and holds it against what their own operators' rows add up to.
func (f *fleet) report(ctx context.Context, first, beyond int64, want sums) error {
	body := fmt.Sprintf(`{"startingOn": %q, "endingBefore": %q,
 "groupBy": ["cluster", "resourceType"]}`, stamp(first), stamp(beyond))
	text, err := f.post(ctx, "/v1alpha1/report", body)
	if err != nil {
		return err
	}
	answer := wire.FleetReport{}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	got := sums{}
	for i := range answer.Rows {
		row := &answer.Rows[i]
		m := metric{string(row.Group[wire.Cluster]), string(row.Group["resourceType"]), string(row.Group["dimension"]), row.ExactUnit}
		if _, twice := got[m]; twice {
			return fmt.Errorf("the report has two rows of %v", m)
		}
		if err := got.put(m, row.Exact); err != nil {
			return err
		}
	}
	if !got.same(want) {
		return fmt.Errorf("the report has something else than the operators' own rows add up to\nthe operators:\n%s\nthe report:\n%s", want, got)
	}
	return f.sayNarrow(fmt.Sprintf("$ curl --cacert tls.crt -H \"Authorization: Bearer $(cat token)\" \\\n    %s/v1alpha1/report -d '\n%s'\n"+
		"CLUSTER  TYPE         DIMENSION                    EXACT UNIT\n%s", f.hub, body, got))
}

// post asks the hub as curl does.
func (f *fleet) post(ctx context.Context, path, body string) ([]byte, error) {
	certificate, err := os.ReadFile(f.path("tls.crt"))
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.hub+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+f.token)
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", path, response.Status, text)
	}
	return text, err
}

// show runs a command of the plugin as a user would type it in the demo's folder, and prints both.
func (f *fleet) show(ctx context.Context, args []string) error {
	at := []string{"--hub=" + f.hub, "--hub-token-file=token", "--hub-certificate-authority=tls.crt"}
	text, err := f.usage(ctx, nil, append(args, at...)...)
	if err != nil {
		return err
	}
	return f.sayNarrow(fmt.Sprintf("$ kubectl usage %s \\\n    %s \\\n    %s \\\n    %s\n%s", strings.Join(args[:len(args)-2], " "),
		strings.Join(args[len(args)-2:], " "), strings.Join(at[:2], " "), at[2], text))
}

// sayNarrow says what a terminal of 80 columns shows as it is, and refuses what it does not.
func (f *fleet) sayNarrow(text string) error {
	f.say("%s", text)
	return narrow(text)
}

// narrow refuses a text that a terminal of 80 columns would break.
func narrow(text string) error {
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > columns {
			return errors.New("what is shown is wider than 80 columns: " + line)
		}
	}
	return nil
}
