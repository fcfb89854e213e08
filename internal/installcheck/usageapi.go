package installcheck

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 1 << 20

// tokenOf is the token that is shown to the usage API, once it is verified.
func (c *Check) tokenOf(config *rest.Config) func() (string, error) {
	return func() (string, error) {
		file := cmp.Or(c.tokenFile, config.BearerTokenFile)
		if file == "" {
			if config.BearerToken == "" {
				return "", errors.New("there is no token: name a file of one with --usage-api-token-file")
			}
			return config.BearerToken, nil
		}
		text, err := os.ReadFile(file)
		return strings.TrimSpace(string(text)), err
	}
}

// usageAPI is whether the usage API answers, with a certificate that clients can verify, and has figures.
func (at *cluster) usageAPI(ctx context.Context) finding {
	f := finding{name: "usage API", next: at.pods()}
	published, err := at.configMaps.Get(ctx, wire.CAConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.said = fmt.Sprintf("there is no ConfigMap %s in namespace %s, by which it is verified", wire.CAConfigMap, at.Namespace)
		f.next = "helm upgrade, or kubectl apply --server-side -f install.yaml: the manifests bring it"
		return f
	case err != nil:
		f.said, f.next = "not known: "+err.Error(), asOperator
		return f
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM([]byte(published.Data[wire.CAKey])) {
		f.said = fmt.Sprintf("the ConfigMap %s has no certificate in %s: the operator has not published one", wire.CAConfigMap, wire.CAKey)
		return f
	}
	token, err := at.token()
	if err != nil {
		f.said, f.next = err.Error(), "run this where there is a token, as in a pod"
		return f
	}
	status, err := at.status(ctx, authorities, token)
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unverified):
		f.said = fmt.Sprintf("what answers is not verified by the ConfigMap %s, and got no token: %v", wire.CAConfigMap, unverified.Err)
		f.next = "see what is behind the Service usage-api: kubectl get endpointslices -n " + at.Namespace
	case err != nil:
		f.said = "it does not answer: " + err.Error()
	case status.Known == "":
		f.said = "it answers, verified, but has no figures yet"
	default:
		f.said, f.next = "answers, verified; figures up to "+status.Known, ""
	}
	return f
}

// status asks for how far the ledger is. The token goes to a server that is verified, and nowhere else.
func (at *cluster) status(ctx context.Context, authorities *x509.CertPool, token string) (status wire.Status, err error) {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: authorities, ServerName: at.service(), MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
	asking := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	url := cmp.Or(at.address, "https://"+at.service()) + "/v1alpha1/status"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return status, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := asking.Do(request)
	if err != nil {
		return status, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return status, err
	}
	if answer.StatusCode != http.StatusOK {
		return status, fmt.Errorf("%s: %s", answer.Status, detail(body))
	}
	return status, json.Unmarshal(body, &status)
}

// detail is what an answer says in words.
func detail(body []byte) string {
	var problem struct{ Message string }
	if err := json.Unmarshal(body, &problem); err == nil && problem.Message != "" {
		return problem.Message
	}
	return string(body[:min(len(body), 200)])
}
