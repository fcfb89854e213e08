package usagecli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

const (
	// operatorNamespaceVariable names the operator's namespace where the flag does not.
	operatorNamespaceVariable = "USAGE_OPERATOR_NAMESPACE"
	// serverVariable and certificateVariable are the flags' of the usage API's own address.
	serverVariable, certificateVariable = "USAGE_OPERATOR_API", "USAGE_OPERATOR_API_CERTIFICATE_AUTHORITY"
	// usualNamespace is the one that config/default installs into.
	usualNamespace = "usage-system"
	// operatorLabels are those of the usage API's Service.
	operatorLabels = "app.kubernetes.io/name=usage-operator,app.kubernetes.io/component=usage-api"
	// lookFor is how long the Service is looked for.
	lookFor = 10 * time.Second
)

// findOperator sets the operator's namespace, where neither the flag nor the environment
// does: that of the one Service with the usage API's labels, as far as the caller may list
// Services, and usage-system otherwise. Everybody who may create Services may label one so:
// of several, none is chosen.
func (c *cli) findOperator(ctx context.Context, config *rest.Config) error {
	if c.operator = cmp.Or(c.operator, os.Getenv(operatorNamespaceVariable)); c.operator != "" {
		return nil
	}
	c.operator = usualNamespace
	if c.server != "" { // nothing of the operator's is asked of the API server
		return nil
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	found, err := core.Services("").List(ctx, metav1.ListOptions{LabelSelector: operatorLabels, Limit: 2})
	switch {
	case err != nil || len(found.Items) == 0: // it may not be asked, or is not labelled
	case len(found.Items) > 1 || found.Continue != "":
		return fmt.Errorf("there are Services of a usage-operator in several namespaces, %s and %s among them: say which is yours by --operator-namespace or $%s",
			found.Items[0].Namespace, found.Items[len(found.Items)-1].Namespace, operatorNamespaceVariable)
	default:
		c.operator = found.Items[0].Namespace
	}
	return nil
}
