package api_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespace makes a namespace that goes with the specs around.
func namespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(admin.Delete(ctx, namespace))).To(Succeed())
	})
	return namespace.Name
}

// table reads what kubectl get prints: a row's cells by column, by the row's name. Columns start where their heads do.
func table(text string) map[string]map[string]string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var heads []string
	var starts []int
	for i, letter := range lines[0] {
		if letter != ' ' && (i == 0 || lines[0][i-1] == ' ') {
			starts = append(starts, i)
			heads = append(heads, strings.Fields(lines[0][i:])[0])
		}
	}
	rows := map[string]map[string]string{}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, start := range starts {
			end := len(line)
			if i+1 < len(starts) {
				end = min(end, starts[i+1])
			}
			row[heads[i]] = strings.TrimSpace(line[min(start, len(line)):end])
		}
		rows[row["NAME"]] = row
	}
	return rows
}

// file is a file with the text, which goes with the spec.
func file(text string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "object.yaml")
	Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	return path
}
