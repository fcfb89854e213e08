package wire

import (
	"encoding/base64"
	"slices"
	"testing"
)

func TestClaimsOfTokens(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for token, want := range map[string]struct {
		audiences       []string
		named           bool
		namespace, name string
	}{
		jwt(`{"sub":"system:serviceaccount:shop:web","aud":["` + Audience + `","other"]}`): {[]string{Audience, "other"}, true, "shop", "web"},
		jwt(`{"sub":"system:serviceaccount:shop:web","aud":"` + Audience + `"}`):           {[]string{Audience}, true, "shop", "web"},
		jwt(`{"sub":"system:serviceaccount:shop:web","aud":["https://cluster"]}`):          {[]string{"https://cluster"}, false, "shop", "web"},
		jwt(`{"sub":"system:serviceaccount:shop"}`):                                        {},
		jwt(`{"sub":"system:serviceaccount::web"}`):                                        {},
		jwt(`{"sub":"anna","aud":7}`):                                                      {},
		jwt(`not json`):                                                                    {},
		"opaque":                                                                           {},
		"a.!.c":                                                                            {},
		"":                                                                                 {},
	} {
		got := ClaimsOf(token)
		if !slices.Equal(got.Audiences, want.audiences) || got.Named() != want.named {
			t.Errorf("%s: %v", token, got)
		}
		namespace, name, is := got.ServiceAccount()
		if is != (want.name != "") || is && (namespace != want.namespace || name != want.name) {
			t.Errorf("%s: it is %s's in %s (%t)", token, name, namespace, is)
		}
	}
}
