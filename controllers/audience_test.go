package controllers

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

func TestTokensAreReviewedForTheirAudience(t *testing.T) {
	jwt := func(claims string) string {
		return "Bearer e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	own := authenticator.Audiences{wire.Audience}
	for _, c := range []struct {
		shown     string
		onlyBound bool
		want      authenticator.Audiences // nil: the API server's own
	}{
		{jwt(`{"aud":["` + wire.Audience + `"]}`), false, own},
		{jwt(`{"aud":["` + wire.Audience + `"]}`), true, own},
		{jwt(`{"aud":["https://kubernetes.default.svc"]}`), false, nil},
		{jwt(`{"aud":["https://kubernetes.default.svc"]}`), true, own},
		{jwt(`{"aud":["vault"]}`), false, nil}, // which the API server refuses
		{"Bearer opaque", false, nil},
		{"Bearer opaque", true, own},
		{"", false, nil},
	} {
		asked := 0
		reviewed := reviewedFor(authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			asked++
			if got, _ := authenticator.AudiencesFrom(r.Context()); !slices.Equal(got, c.want) {
				t.Errorf("%s, only bound %t: it is reviewed for %v, want %v", c.shown, c.onlyBound, got, c.want)
			}
			return nil, false, nil
		}), c.onlyBound)
		request := httptest.NewRequest(http.MethodGet, "/v1/usage", http.NoBody)
		request.Header.Set("Authorization", c.shown)
		if _, known, err := reviewed.AuthenticateRequest(request); known || err != nil || asked != 1 {
			t.Errorf("%s: asked %d times: %t, %v", c.shown, asked, known, err)
		}
	}
}
