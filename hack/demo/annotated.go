package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// notes explain a record: each is put above the first line that begins with what it is about.
var notes = []struct{ line, note string }{
	{"spec:", "whose usage it is, and of which interval; it cannot be changed"},
	{"  deployment:", "the top of what owns the metered object: here the VirtualMachine"},
	{"  accuracy:", "Exact: every moment below is known to the second. Else Estimated, or Partial"},
	{"  digest:", "over all that is billed: a copy elsewhere can be checked against it"},
	{"  phase:", "Open while the interval goes on; Final is written once, and never changes"},
	{"  summary:", "for the table above"},
	{"  totals:", "the sums. exact is an integer, level x seconds; quantity is the same for people, rounded once"},
	{"  usage:", "where the sums come from: who held what level, from when to when"},
	{"    instance:", "one run of the machine: started again, it is another instance of the same resource"},
	{"    resource:", "what is billed"},
	{"    segments:", "one for each level that was held: a resize ends one and starts the next, in the same second"},
	{"      evidence:", "how both moments are known: ObjectTime is a time that the object itself states"},
	{"        end: IntervalCut", "it goes on in the next interval's record"},
	{"        end: ManagedFields", "the API server's own time of the write that made the change"},
}

// annotated shows one record in full.
func (c *cloud) annotated(ctx context.Context, namespace, deployment string, start int64) error {
	c.title("One record in full, explained")
	name := fmt.Sprintf("%s.%s", deployment, time.Unix(start, 0).UTC().Format("200601021504"))
	args := []string{"get", "usagerecord", "--namespace", namespace, name, "--output", "yaml"}
	text, err := c.plane.Kubectl(ctx, args...)
	if err != nil {
		return err
	}
	c.say("$ kubectl %s\n%s", strings.Join(args, " "), annotate(text))
	return nil
}

// annotate puts each note above the first line that it is about.
func annotate(text string) string {
	told := map[string]bool{}
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		// An element of a list begins with a dash where its other fields have a blank.
		plain := strings.Replace(line, "- ", "  ", 1)
		for _, n := range notes {
			if strings.HasPrefix(plain, n.line) && !told[n.line] {
				told[n.line] = true
				indent := plain[:len(plain)-len(strings.TrimLeft(plain, " "))]
				out = append(out, indent+"# "+n.note)
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
