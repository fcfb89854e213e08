package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// Of a report's status the cache keeps the fields that the controllers and the usage API's
// list of reports read, and a checksum of all of it, which tells whether it is what it should
// be: the rows of all reports would take more memory than the ledger.

// CacheOptions are the options of the manager's cache.
func CacheOptions() cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.UsageReport{}:        {Transform: withoutFigures},
			&v1alpha1.ClusterUsageReport{}: {Transform: withoutFigures},
		},
	}
}

func withoutFigures(object any) (any, error) {
	switch r := object.(type) {
	case *v1alpha1.UsageReport:
		r.ManagedFields, r.Status = nil, summed(&r.Status)
	case *v1alpha1.ClusterUsageReport:
		r.ManagedFields, r.Status = nil, summed(&r.Status)
	}
	return object, nil
}

// summedPrefix begins the digest field of a status that has its checksum in place of
// its figures. The API server accepts no digest with this prefix.
const summedPrefix = "summed:"

// totalsKept is how many of a report's totals are kept: those that the list of reports shows, and
// one that tells that there are more.
const totalsKept = usageapi.TotalsShown + 1

// summed is a status with a checksum in place of its figures.
func summed(s *v1alpha1.UsageReportStatus) v1alpha1.UsageReportStatus {
	if strings.HasPrefix(s.Digest, summedPrefix) {
		return *s
	}
	sum, _ := sumOf(s)
	kept := v1alpha1.UsageReportStatus{
		ObservedGeneration: s.ObservedGeneration, Conditions: s.Conditions, Window: s.Window, SealedTime: s.SealedTime,
		Corrections: s.Corrections, LastReportTime: s.LastReportTime, Digest: summedPrefix + sum + "/" + s.Digest,
		Summary: s.Summary, RowCount: s.RowCount, Totals: slices.Clone(s.Totals[:min(len(s.Totals), totalsKept)]),
	}
	if s.Coverage != nil {
		coverage := *s.Coverage
		coverage.Gaps = nil
		kept.Coverage = &coverage
	}
	return kept
}

// sumOf returns the checksum of a status, and its size in bytes as stored; 0 if that is
// not known any more.
func sumOf(s *v1alpha1.UsageReportStatus) (sum string, bytes int64) {
	if rest, is := strings.CutPrefix(s.Digest, summedPrefix); is {
		sum, _, _ = strings.Cut(rest, "/")
		return sum, 0
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("controllers: a status has no JSON: %v", err)) // it is strings and numbers
	}
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:]), int64(len(text))
}

// digestOf is a status's digest.
func digestOf(s *v1alpha1.UsageReportStatus) string {
	if _, rest, is := strings.Cut(s.Digest, "/"); is {
		return rest
	}
	return s.Digest
}
