package controllers

import (
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// reviewedFor has a token reviewed for the audience of the usage API. One that does not name it is reviewed for the API
// server's own audience, unless only bound tokens are wanted: each token is reviewed once. What a token says of itself
// decides nothing but for which audience the API server is asked.
func reviewedFor(tokens authenticator.Request, onlyBound bool) authenticator.Request {
	return authenticator.RequestFunc(func(request *http.Request) (*authenticator.Response, bool, error) {
		token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
		if onlyBound || wire.ClaimsOf(token).Named() {
			request = request.WithContext(authenticator.WithAudiences(request.Context(), authenticator.Audiences{wire.Audience}))
		}
		return tokens.AuthenticateRequest(request)
	})
}
