package controllers

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
)

// ReportBudget divides among reports the bytes that the statuses of all of them may
// take. While they fit, each report gets what it wants. If they do not, namespaces that
// want less than an equal share get all that they want, and the others an equal share of
// the rest; within each of these, the smallest reports come first. Cluster-scoped
// reports count as one namespace.
//
// The result depends on what is wanted now, not on the order of arrival.
type ReportBudget struct {
	bytes int64 // 0: any number

	mu      sync.Mutex
	wants   map[string]map[string]int64 // by namespace and name
	total   int64
	refused map[reportKey]bool
}

// NewReportBudget returns a budget of that many bytes; 0: any number.
func NewReportBudget(bytes int64) *ReportBudget {
	return &ReportBudget{bytes: bytes, wants: map[string]map[string]int64{}, refused: map[reportKey]bool{}}
}

// want returns whether a report may have a status of that many bytes, and the other
// reports for which the answer changed.
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

// drop removes a deleted report; it returns the reports for which the answer changed.
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

// share decides again, and returns the other reports for which the answer changed.
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

// level is the most bytes that a namespace may have so that all together fit.
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
