package operator_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/test/widgets"
)

// The specs' words for what the suites share.
const (
	testGroup = widgets.Group
	// widgetKind is installed from the start.
	widgetKind = widgets.Widget
)

var meterOf = widgets.Meter

// install installs the kind, and waits until its objects can be made.
func install(ctx context.Context, k widgets.Kind) {
	GinkgoHelper()
	Expect(admin.Create(ctx, k.Definition())).To(Succeed())
	Eventually(func(ctx context.Context) error { return admin.List(ctx, k.List(), client.Limit(1)) }).
		WithContext(ctx).Should(Succeed())
}

// uninstall removes the kind, and waits until it is gone with all its objects.
func uninstall(ctx context.Context, k widgets.Kind) {
	GinkgoHelper()
	definition := k.Definition()
	Expect(client.IgnoreNotFound(admin.Delete(ctx, definition))).To(Succeed())
	Eventually(func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(definition), definition)
	}).WithContext(ctx).Should(MatchError(ContainSubstring("not found")))
}
