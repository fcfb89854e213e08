package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// compare holds what the hub answers against what each cluster's own operator does.
func (f *fleet) compare(ctx context.Context, first, beyond int64) error {
	asked := []string{"list", "--all-namespaces", "--from=" + stamp(first), "--to=" + stamp(beyond)}
	whole, err := f.usage(ctx, f.variables(), append(asked, "--output=csv")...)
	if err != nil {
		return err
	}
	rows, sums := 0, sums{}
	for _, c := range f.clusters {
		own, err := f.compareWith(ctx, c, whole, asked)
		if err != nil {
			return err
		}
		rows += strings.Count(own, "\n") - 1
		if err := sums.add(c.name, own); err != nil {
			return err
		}
	}
	if all := strings.Count(whole, "\n") - 1; all != rows {
		return fmt.Errorf("the fleet has %d rows, and the clusters have %d:\n%s", all, rows, whole)
	}
	f.title(fmt.Sprintf("What the hub says of %s to %s", clock(first), clock(beyond)))
	for _, args := range [][]string{{"list", "--dimension=cpu"}, {"top", "namespaces", "--dimension=cpu"}} {
		if err := f.show(ctx, append(args, asked[2:]...)); err != nil {
			return err
		}
	}
	if err := f.report(ctx, first, beyond, sums); err != nil {
		return err
	}
	f.say("\n%d rows of %d clusters: each is what the cluster's own operator says, byte for\nbyte. The report's rows are the sums of those, as whole numbers.\nusage-hub verify has recomputed each sealed interval of both.", rows, len(f.clusters))
	return nil
}

// compareWith holds what the hub says of a cluster against what its own operator says, which it returns: asked of that cluster,
// and as a part of the whole.
func (f *fleet) compareWith(ctx context.Context, c *cluster, whole string, asked []string) (string, error) {
	variables, err := c.directly(ctx)
	if err != nil {
		return "", err
	}
	asked = append(slices.Clone(asked), "--output=csv")
	own, err := c.usage(ctx, append(variables, "KUBECONFIG="+c.plane.Kubeconfig()), asked...)
	if err != nil {
		return "", err
	}
	theirs, err := f.usage(ctx, f.variables(), append(asked, "--hub-cluster="+c.name)...)
	if err != nil {
		return "", err
	}
	if n := strings.Count(own, "\n") - 1; n < 2*len(c.workloads) {
		return "", fmt.Errorf("%s has %d rows, which is fewer than its workloads have:\n%s", c.name, n, own)
	}
	if own != theirs {
		return "", fmt.Errorf("the hub says something else of %s than its own operator\nthe operator:\n%s\nthe hub:\n%s", c.name, own, theirs)
	}
	part, err := partOf(whole, c.name)
	if err != nil {
		return "", err
	}
	if !sameLines(part, own) {
		return "", fmt.Errorf("the fleet has something else of %s than its own operator\nthe operator:\n%s\nthe fleet:\n%s", c.name, own, part)
	}
	_, err = f.asHub(ctx, "verify", c.uid)
	return own, err
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// usage runs a command of the plugin, and returns what it prints.
func (s *stage) usage(ctx context.Context, variables []string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, s.plugin(), args...)
	command.Dir, command.Env = s.dir, append(os.Environ(), variables...)
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl usage %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	return string(text), nil
}

// partOf are the rows of a table of the fleet that are of one cluster, without that column.
func partOf(table, cluster string) (string, error) {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return "", err
	}
	at := -1
	if len(rows) > 0 {
		at = slices.Index(rows[0], "cluster")
	}
	if at < 0 {
		return "", fmt.Errorf("a table of the fleet has no column cluster:\n%s", table)
	}
	var out strings.Builder
	w := csv.NewWriter(&out)
	for i, row := range rows {
		if i > 0 && row[at] != cluster {
			continue
		}
		if err := w.Write(slices.Delete(slices.Clone(row), at, at+1)); err != nil {
			return "", err
		}
	}
	w.Flush()
	return out.String(), w.Error()
}

// sameLines tells whether two texts have the same lines, in whatever order.
func sameLines(a, b string) bool {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(first)
	slices.Sort(second)
	return slices.Equal(first, second)
}
