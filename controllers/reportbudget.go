package controllers

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
)

// ReportBudget shares out how many bytes the statuses of all reports may take. While
// they fit, each report has what it wants. If they do not, namespaces that want less
// than an equal share have all of it, and the others an equal share of the rest; in
// each of those, the reports that want least come first. What is of the whole cluster
// counts as a namespace.
//
// Who gets what follows from what is wanted now, and not from who came first.
type ReportBudget struct {
	bytes int64 // 0: any number

	mu      sync.Mutex
	wants   map[string]map[string]int64 // by namespace and name
	total   int64
	refused map[reportKey]bool
}

// NewReportBudget shares out so many bytes.
func NewReportBudget(bytes int64) *ReportBudget {
	return &ReportBudget{bytes: bytes, wants: map[string]map[string]int64{}, refused: map[reportKey]bool{}}
}

// want tells whether a report may have a status of so many bytes, and for which
// other reports the answer is another now than it was.
func (b *ReportBudget) want(report reportKey, bytes int64) (granted bool, others []reportKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.wants[report.Namespace]
	if of == nil {
		of = map[string]int64{}
		b.wants[report.Namespace] = of
	}
	b.total += bytes - of[report.Name]
	of[report.Name] = bytes
	others = b.share(report)
	return !b.refused[report], others
}

// Taken is how many bytes the statuses take that were granted.
func (b *ReportBudget) Taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.total
	for report := range b.refused {
		taken -= b.wants[report.Namespace][report.Name]
	}
	return taken
}

// drop is told that a report is gone.
func (b *ReportBudget) drop(report reportKey) (others []reportKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.wants[report.Namespace]
	b.total -= of[report.Name]
	delete(of, report.Name)
	if len(of) == 0 {
		delete(b.wants, report.Namespace)
	}
	return b.share(report)
}

// share decides anew, and tells for whom else that is another answer.
func (b *ReportBudget) share(asked reportKey) (others []reportKey) {
	refused := map[reportKey]bool{}
	if b.bytes > 0 && b.total > b.bytes {
		level := b.level()
		for namespace, of := range b.wants {
			room := level
			for _, name := range leastFirst(of) {
				if room -= of[name]; room < 0 {
					refused[reportKey{Namespace: namespace, Name: name}] = true
				}
			}
		}
	}
	for _, list := range []map[reportKey]bool{refused, b.refused} {
		for report := range list {
			if refused[report] != b.refused[report] && report != asked {
				others = append(others, report)
			}
		}
	}
	b.refused = refused
	return others
}

// level is what a namespace may have at most, so that all that they have fits.
func (b *ReportBudget) level() int64 {
	var wanted []int64
	for _, of := range b.wants {
		sum := int64(0)
		for _, bytes := range of {
			sum += bytes
		}
		wanted = append(wanted, sum)
	}
	slices.Sort(wanted)
	left := b.bytes
	for i, sum := range wanted {
		if equal := left / int64(len(wanted)-i); sum > equal {
			return equal
		}
		left -= sum
	}
	return b.bytes
}

func leastFirst(of map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(of[a], of[b]), cmp.Compare(a, b))
	})
}

// inBytes is a number of bytes as people write it, rounded up to KiB.
func inBytes(n int64) string {
	const kibi = 1 << 10
	return resource.NewQuantity((n+kibi-1)/kibi*kibi, resource.BinarySI).String()
}
